"""`lmm-r1-mega report RUN [--against RUN2] [--out FILE.html]`"""

from __future__ import annotations

from pathlib import Path

from lmm_r1_mega.commands.arguments import take_positional, take_value
from lmm_r1_mega.commands.verbs import VERBS
from lmm_r1_mega.errors import DONE
from lmm_r1_mega.record.folder import RunFolder
from lmm_r1_mega.report.page import write_report


def run(arguments: list[str]) -> int:
    """Write the page and say where it is: report.html in the run's folder where no option says otherwise."""
    against, rest = take_value(arguments, "--against")
    out, rest = take_value(rest, "--out")
    (name,), rest = take_positional(rest, 1, verb="report")
    if rest:
        raise ValueError(VERBS["report"].usage)
    runs = [RunFolder.open(Path(one)) for one in (name, against) if one is not None]
    file = Path(out or Path(name) / "report.html")
    if not file.parent.is_dir():
        raise ValueError(f"--out {file}: there is no folder {file.parent}, make it first")
    if file.is_dir():
        raise ValueError(f"--out {file} is a folder: name a file in it")
    try:
        write_report(runs, file)
    except (PermissionError, FileNotFoundError) as error:
        raise ValueError(f"--out {file} cannot be written ({error.strerror}): name a file in another folder") from None
    print(file)
    return DONE
