"""`lmm-r1-mega reward try FILE [--json] [CONFIG.yaml ...] [--section.field VALUE ...]`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lmm_r1_mega.commands.arguments import take_flag, take_positional
from lmm_r1_mega.commands.verbs import VERBS
from lmm_r1_mega.errors import DONE
from lmm_r1_mega.rewards.try_file import try_file
from lmm_r1_mega.settings import read_config


def run(arguments: list[str]) -> int:
    """Print what the rewards pay for each row of a file: a table, or with --json one line a row."""
    as_json, rest = take_flag(arguments, "--json")
    (action, file), rest = take_positional(rest, 2, verb="reward")
    if action != "try":
        raise ValueError(VERBS["reward"].usage)
    rows = list(try_file(Path(file), read_config(rest).reward))
    if as_json:
        for row in rows:
            print(json.dumps(row))
    else:
        Console().print(_table(rows))
    return DONE


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("row", "reward", "parts", "invalid", box=None)
    for number, row in enumerate(rows, start=1):
        parts = ", ".join(f"{name} {value:g}" for name, value in row["parts"].items())
        table.add_row(str(number), "-" if row["reward"] is None else f"{row['reward']:g}", parts, row["invalid"] or "")
    return table
