"""The good rows of a data file in a new one."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lmm_r1_mega.data.chat.messages import map_references
from lmm_r1_mega.data.formats.columns import FORMATS, format_of
from lmm_r1_mega.data.formats.rows import Change
from lmm_r1_mega.data.images.decode import image_folder
from lmm_r1_mega.data.inspect.check import Report
from lmm_r1_mega.errors import BadData

_ABSOLUTE = re.compile(r"/|[a-z]+:", re.IGNORECASE)


def check_target(path: Path, target: Path) -> None:
    """Raises ValueError where the good rows of a file cannot be written to this place."""
    if target.exists():
        raise ValueError(f"--fix {target} exists and is not written over: name a new file")
    if not target.parent.is_dir():
        raise ValueError(f"--fix {target}: there is no folder {target.parent}: make it first")
    form = format_of(path)
    if target.suffix != form.copy_suffix and FORMATS.get(target.suffix) is not form:
        raise ValueError(f"--fix {target}: the rows of {path} are written as {form.copy_suffix}: name it so")


def write_good_rows(report: Report, target: Path, *, message_key: str = "message") -> None:
    """Write the rows that a check found good, in their order; the file is whole as soon as it has its name.

    They are unchanged, but for relative paths of images, which begin at the file's folder, where the new file lies in another one.

    Raises: ValueError for a target that `check_target` refuses, BadData where no row is good.
    """
    check_target(report.file, target)
    if not report.num_good:
        raise BadData(f"no row of {report.file} is good, so --fix writes nothing: fix it as described above")
    bad = {row.line for row in report.bad_rows}
    aside = target.with_name(target.name + ".partial")
    try:
        format_of(report.file).copy(report.file, aside, lambda line: line not in bad, change=_moved(report.file, target, message_key))
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.rename(target)
    finally:
        aside.unlink(missing_ok=True)


def folder_to_declare(report: Report, target: Path) -> Path | None:
    """The folder that `data.image_roots` has to name for the new file, as its images do not lie below its own."""
    there, here = image_folder(report.file).resolve(), target.absolute().parent.resolve()
    return there if report.num_images and not there.is_relative_to(here) else None


def _moved(path: Path, target: Path, message_key: str) -> Change | None:
    """How rows change on their way to the target: not at all within a folder."""
    there, here = image_folder(path).resolve(), target.absolute().parent.resolve()
    if there == here:
        return None

    def move(reference: str) -> str:
        return reference if not reference or _ABSOLUTE.match(reference) else os.path.relpath(there / reference, here)

    return lambda row: map_references(row, message_key, move)
