"""The good rows of a data file in a new one, as JSON Lines whatever they come from."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmm_r1_mega.data.chat.messages import map_references
from lmm_r1_mega.data.formats.columns import format_of
from lmm_r1_mega.data.formats.rows import BROKEN_LIST, RawRow
from lmm_r1_mega.data.images.decode import image_folder
from lmm_r1_mega.data.inspect.check import Report
from lmm_r1_mega.errors import BadData

_SUFFIXES = (".jsonl", ".ndjson")
_ABSOLUTE = re.compile(r"/|[a-z]+:", re.IGNORECASE)


def check_target(target: Path) -> None:
    """Raises ValueError if good rows cannot be written to this file."""
    if target.exists():
        raise ValueError(f"--fix {target} exists and is not written over: name a new file")
    if not target.parent.is_dir():
        raise ValueError(f"--fix {target}: there is no folder {target.parent}: make it first")
    if target.suffix not in _SUFFIXES:
        raise ValueError(f"--fix {target}: good rows are written as {_SUFFIXES[0]}: name it so")


def write_good_rows(report: Report, target: Path, *, message_key: str = "message") -> None:
    """Write the rows that a check found good, in their order; the file is whole as soon as it has its name.

    They have the same values, but for relative paths of images, which lead to the same files, and bytes of images, which are data: URIs.

    Raises: ValueError for a target that `check_target` refuses, BadData if no row is good or the reading broke off.
    """
    check_target(target)
    if not report.num_good:
        raise BadData(f"no row of {report.file} is good, so --fix writes nothing: fix it as described above")
    for bad in report.bad_rows:
        if bad.kind == BROKEN_LIST:  # nobody knows the rows behind
            raise BadData(f"data file {report.file}, {report.unit} {bad.line}: {bad.reason}: fix that place first")
    partial = target.with_name(target.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8", errors="backslashreplace") as file:  # half a surrogate pair is written as JSON spells it
            file.writelines(_good_lines(report, target, message_key))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def folder_to_declare(report: Report, target: Path) -> Path | None:
    """The folder that `data.image_roots` has to name for the new file, as its images do not lie below its own."""
    source, copy = image_folder(report.file).resolve(), target.absolute().parent.resolve()
    return source if report.num_images and not source.is_relative_to(copy) else None


def _good_lines(report: Report, target: Path, message_key: str) -> Iterator[str]:
    source, copy = image_folder(report.file).resolve(), target.absolute().parent.resolve()

    def move(reference: str) -> str:
        is_relative = source != copy and reference and not _ABSOLUTE.match(reference)
        return os.path.relpath(source / reference, copy) if is_relative else reference

    bad_lines = {bad.line for bad in report.bad_rows}
    for row in format_of(report.file).read(report.file):
        if isinstance(row, RawRow) and row.line not in bad_lines:
            value = map_references(row.value, message_key, move)
            yield json.dumps(value, ensure_ascii=False, default=_as_text) + "\n"


def _as_text(value: Any) -> str:
    """What JSON has no type for: dates and the like in columns that nobody reads."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
