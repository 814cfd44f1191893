"""JSON Lines files that survive: a row is on the disk whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lmm_r1_mega.errors import DiskFull

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextlib.contextmanager
def naming_full_disks(path: Path) -> Iterator[None]:
    """Turns the system's error for a full disk or quota into `DiskFull`, which names the place and the way out."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        free_mib = shutil.disk_usage(path.parent).free // 2**20
        raise DiskFull(
            f"no room to write {path} ({error.strerror}, {free_mib} MiB free): nothing written before is lost; make room, then "
            f"`lmm-r1-mega resume`"
        ) from error


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Adds rows at the end and waits until they are on the disk; a failed write leaves the file as it was. Errors: `DiskFull`."""
    text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=True) + "\n" for row in rows)
    with naming_full_disks(path), path.open("ab", buffering=0) as file:
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
    if path.exists():
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All whole rows."""
    return [json.loads(line) for line in whole_lines(path)]


def keep_rows(path: Path, *, until_step: int) -> None:
    """Drops the rows of steps after `until_step`, and an unfinished last line."""
    if path.exists():
        write_whole(path, b"".join(line for line in whole_lines(path) if json.loads(line)["step"] <= until_step))


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file in one step: readers and crashes see the old content or the new. Errors: `DiskFull`."""
    aside = path.with_name(path.name + ".partial")
    try:
        with naming_full_disks(path):
            with aside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
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
