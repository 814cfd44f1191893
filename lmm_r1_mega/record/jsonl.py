"""JSON Lines files that survive: a row is on the disk whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lmm_r1_mega.errors import BadData, naming_storage_errors


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Adds rows at the end and waits until they are on the disk; a failed write leaves the file as it was. Errors: `StorageFailed`."""
    text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=True) + "\n" for row in rows)
    with naming_storage_errors(path), path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            _write_all(file.fileno(), text.encode())
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):  # devices cannot be cut; the first error is the one to show
                os.ftruncate(file.fileno(), before)
            raise


def whole_lines(path: Path) -> Iterator[bytes]:
    """Every line with its end; a last one that a killed process left unfinished is none. A missing file has none."""
    with naming_storage_errors(path):
        if path.exists():
            with path.open("rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))


def checked_lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Every whole line and its row.

    Raises:
        BadData: a line is no row of a step; the message has its number.
    """
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise damaged_line(path, number, f"is no JSON ({error})") from None
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            raise damaged_line(path, number, "has no integer `step`")
        yield line, row


def damaged_line(path: Path, number: int, problem: str) -> BadData:
    """What to say of a line that cannot be used."""
    return BadData(f"{path}:{number} {problem}: delete the line (`sed -i {number}d {path}`), or bring the file back")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All whole rows. Errors: BadData where a line is none."""
    return [row for _, row in checked_lines(path)]


def keep_rows(path: Path, *, until_step: int) -> None:
    """Drops the rows of steps after `until_step`, and an unfinished last line. Errors: BadData where a line is no row, nothing dropped."""
    if path.exists():
        write_whole(path, b"".join(line for line, row in checked_lines(path) if row["step"] <= until_step))


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file in one step: readers and crashes see the old content or the new. Errors: `StorageFailed`."""
    aside = path.with_name(path.name + ".partial")
    with naming_storage_errors(path):
        try:
            with aside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            with contextlib.suppress(OSError):  # it is gone when all went well; else the first error is the one to show
                aside.unlink()
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
