"""`lmm-r1-mega doctor`"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from lmm_r1_mega.commands.verbs import VERBS
from lmm_r1_mega.doctor import examine
from lmm_r1_mega.errors import DONE, USAGE


def run(arguments: list[str]) -> int:
    """Print the findings; 0 where nothing is wrong, else 2."""
    if arguments:
        raise ValueError(VERBS["doctor"].usage)
    table = Table("part", "state", "fix with", box=None)
    findings = examine()
    for finding in findings:
        table.add_row(finding.subject, finding.state, finding.fix or "ok")
    Console().print(table)
    return USAGE if any(finding.fix for finding in findings) else DONE
