"""The good rows of a data file in a new one."""

from __future__ import annotations

import os
from pathlib import Path

from lmm_r1_mega.data.check import Report
from lmm_r1_mega.data.formats import FORMATS, format_of
from lmm_r1_mega.errors import BadData


def refuse_target(path: Path, target: Path) -> None:
    """Raises ValueError where the good rows of a file cannot be written to this place."""
    if target.exists():
        raise ValueError(f"--fix {target} exists and is not written over: name a new file")
    if not target.parent.is_dir():
        raise ValueError(f"--fix {target}: there is no folder {target.parent}: make it first")
    form = format_of(path)
    if target.suffix != form.copy_suffix and FORMATS.get(target.suffix) is not form:
        raise ValueError(f"--fix {target}: the rows of {path} are written as {form.copy_suffix}: name it so")


def write_good_rows(report: Report, target: Path) -> None:
    """Write the rows that a check found good, unchanged and in their order; the file is whole as soon as it has its name.

    Raises: ValueError for a target that `refuse_target` refuses, BadData where no row is good.
    """
    refuse_target(report.file, target)
    if not report.num_good:
        raise BadData(f"no row of {report.file} is good, so --fix writes nothing: mend it as described above")
    bad = {row.line for row in report.bad_rows}
    aside = target.with_name(target.name + ".partial")
    try:
        format_of(report.file).copy(report.file, aside, lambda line: line not in bad)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.rename(target)
    finally:
        aside.unlink(missing_ok=True)
