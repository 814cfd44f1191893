"""Checkpoints that are complete or do not count: written aside, listed with sizes and digests, renamed last.

A checkpoint is a folder `step_000040` with a `manifest.json`. `step_000040.partial` is one being written, or what a killed
process left of it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import xxhash

from lmm_r1_mega.errors import naming_storage_errors
from lmm_r1_mega.record.lines import sync_folder, write_whole

MANIFEST = "manifest.json"
PARTIAL = ".partial"
STEP_NAME = re.compile(r"step_(\d{6,})")
BLOCK_BYTES = 8 * 2**20
READERS = 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint."""

    step: int
    """Steps that were done when it was written."""
    path: Path


def step_folder(checkpoints: Path, step: int) -> Path:
    """Example: step 40 -> `checkpoints/step_000040`."""
    return checkpoints / f"step_{step:06d}"


@contextmanager
def write_checkpoint(checkpoints: Path, step: int, *, keep: int) -> Iterator[Path]:
    """A folder to fill; at the end of the block it becomes the checkpoint of `step`, and all but the newest `keep` are deleted.

    When the block or the writing fails, the unfinished folder is removed and older checkpoints stay. Errors: `DiskFull`.
    """
    final = step_folder(checkpoints, step)
    partial = final.with_name(final.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with naming_storage_errors(final):
            partial.mkdir(parents=True)
            yield partial
            _write_manifest(partial)
            _put_in_place(partial, final)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _delete_older(checkpoints, keep=keep)


def newest_checkpoint(checkpoints: Path) -> Checkpoint | None:
    """The newest checkpoint whose files are all there, with the sizes and digests of its manifest; None where there is none."""
    for checkpoint in finished_checkpoints(checkpoints):
        damage = find_damage(checkpoint.path)
        if damage is None:
            return checkpoint
        logger.warning("checkpoint %s is passed over: %s", checkpoint.path, damage)
    return None


def find_damage(folder: Path) -> str | None:
    """What of a checkpoint differs from its manifest; None for a complete one."""
    try:
        expected = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"its {MANIFEST} cannot be read ({error})"
    found = {str(path.relative_to(folder)): path for path in _files(folder)}
    for name, entry in expected.items():
        if name not in found:
            return f"{name} is missing"
        if found[name].stat().st_size != entry["bytes"]:
            return f"{name} has {found[name].stat().st_size} bytes instead of {entry['bytes']}"
    with ThreadPoolExecutor(READERS) as readers:
        digests = readers.map(_digest, (found[name] for name in expected))
        changed = [name for name, digest in zip(expected, digests, strict=True) if digest != expected[name]["xxh3"]]
    return f"{changed[0]} has changed since it was written" if changed else None


def _write_manifest(folder: Path) -> None:
    """Waits until every file is on the disk, reads it back, and lists it."""
    files = _files(folder)
    with ThreadPoolExecutor(READERS) as readers:
        digests = list(readers.map(_settled_digest, files))
    entries = {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "xxh3": digest} for path, digest in zip(files, digests, strict=True)
    }
    for inner in {path.parent for path in files}:
        sync_folder(inner)
    write_whole(folder / MANIFEST, json.dumps(entries, indent=1).encode())


def _put_in_place(partial: Path, final: Path) -> None:
    """Renames; an older folder of the same step steps aside first and goes last."""
    replaced = final.with_name(final.name + ".replaced" + PARTIAL)
    shutil.rmtree(replaced, ignore_errors=True)
    if final.exists():
        final.rename(replaced)
    partial.rename(final)
    sync_folder(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _delete_older(checkpoints: Path, *, keep: int) -> None:
    """Deletes all finished checkpoints but the newest ones, and what killed processes left unfinished."""
    for checkpoint in finished_checkpoints(checkpoints)[keep:]:
        leaving = checkpoint.path.with_name(checkpoint.path.name + PARTIAL)
        checkpoint.path.rename(leaving)
    for left_over in checkpoints.glob(f"step_*{PARTIAL}"):
        shutil.rmtree(left_over, ignore_errors=True)


def finished_checkpoints(checkpoints: Path) -> list[Checkpoint]:
    """Checkpoints that were renamed into place, newest first."""
    names = [(STEP_NAME.fullmatch(path.name), path) for path in checkpoints.glob("step_*")]
    return sorted((Checkpoint(int(name[1]), path) for name, path in names if name), key=lambda one: -one.step)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)


def _settled_digest(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return _digest(path)


def _digest(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
