"""Checkpoints that are complete or do not count: written aside, listed with sizes and digests, renamed last.

A checkpoint is a folder `step_000040` with a `manifest.json`. `step_000040.partial` is one being written, or what a killed
process left of it; `step_000040.set_aside` one that a resumed run did not go on from, which nothing here deletes.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import xxhash
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lmm_r1_mega.errors import naming_storage_errors
from lmm_r1_mega.record.jsonl import sync_folder, write_whole

MANIFEST = "manifest.json"
STATE_FILE = "state.json"
"""The driver's part, which every checkpoint has."""
PARTIAL = ".partial"
SET_ASIDE = ".set_aside"
STEP_NAME = re.compile(r"step_(\d{6,})")
BLOCK_BYTES = 8 * 2**20
READERS = 8

logger = logging.getLogger(__name__)


class FileEntry(BaseModel):
    """A file as it was written."""

    model_config = ConfigDict(strict=True, extra="forbid")
    bytes: Annotated[int, Field(ge=0)]
    xxh3: str


class Manifest(BaseModel):
    """What lies in a checkpoint. Another layout of the folder is another `format`."""

    model_config = ConfigDict(strict=True, extra="forbid")
    format: Literal[1]
    files: dict[str, FileEntry]
    """By path within the folder."""
    digest: str
    """Of `files`."""


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
    """A folder to fill; at the end of the block it is the checkpoint of `step`, and what is older than the newest `keep` is deleted.

    When the block or the writing fails, the unfinished folder is removed and older checkpoints stay. Errors: `StorageFailed`.
    """
    final = step_folder(checkpoints, step)
    partial = final.with_name(final.name + PARTIAL)
    _delete_partial(checkpoints)
    try:
        with naming_storage_errors(final):
            partial.mkdir(parents=True)
            yield partial
            _write_manifest(partial)
            _put_in_place(partial, final)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    with naming_storage_errors(checkpoints):
        _delete_older(checkpoints, step, keep=keep)


def newest_checkpoint(checkpoints: Path) -> Checkpoint | None:
    """The newest checkpoint whose files are all there, with the sizes and digests of its manifest; None where there is none."""
    for checkpoint in finished_checkpoints(checkpoints):
        damage = find_damage(checkpoint.path)
        if damage is None:
            return checkpoint
        logger.warning("checkpoint %s is passed over: %s", checkpoint.path, damage)
    return None


def find_damage(folder: Path, *, digests: bool = True) -> str | None:
    """What of a checkpoint differs from its manifest, without `digests` judged by sizes alone; None for a complete one."""
    with naming_storage_errors(folder):
        try:
            manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
        except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
            return f"its {MANIFEST} cannot be read ({error.strerror})"
        except ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(map(str, problem["loc"])) or "the file"
            return f"its {MANIFEST} cannot be read ({place}: {problem['msg']}): it is damaged, or of another version of this program"
        if manifest.digest != _digest_of(manifest.files):
            return f"its {MANIFEST} has changed since it was written"
        if STATE_FILE not in manifest.files:
            return f"its {MANIFEST} has no {STATE_FILE}"
        return _first_problem(folder, manifest.files, digests=digests)


def _first_problem(folder: Path, expected: Mapping[str, FileEntry], *, digests: bool) -> str | None:
    found = {str(path.relative_to(folder)): path for path in _files(folder)}
    for name, entry in expected.items():
        if name not in found:
            return f"{name} is missing"
        size = found[name].stat().st_size
        if size != entry.bytes:
            return f"{name} has {size} bytes instead of {entry.bytes}"
    if not digests:
        return None
    with ThreadPoolExecutor(READERS) as readers:
        now = readers.map(_digest, (found[name] for name in expected))
        changed = (name for name, digest in zip(expected, now, strict=True) if digest != expected[name].xxh3)
        return next((f"{name} has changed since it was written" for name in changed), None)


def set_newer_aside(checkpoints: Path, step: int) -> list[Path]:
    """Renames the checkpoints of steps after `step`, which a run that goes on from there does without; their new places."""
    return [_set_aside(one.path) for one in finished_checkpoints(checkpoints) if one.step > step]


def _set_aside(path: Path) -> Path:
    names = (path.name + SET_ASIDE + number for number in ("", *(f".{count}" for count in range(2, 1000))))
    free = next(place for name in names if not (place := path.with_name(name)).exists())
    path.rename(free)
    sync_folder(path.parent)
    return free


def _write_manifest(folder: Path) -> None:
    """Waits until every file is on the disk, reads it back, and lists it."""
    files = _files(folder)
    with ThreadPoolExecutor(READERS) as readers:
        digests = list(readers.map(_settled_digest, files))
    entries = {
        str(path.relative_to(folder)): FileEntry(bytes=path.stat().st_size, xxh3=digest)
        for path, digest in zip(files, digests, strict=True)
    }
    for inner in {path.parent for path in files}:
        sync_folder(inner)
    manifest = Manifest(format=1, files=entries, digest=_digest_of(entries))
    write_whole(folder / MANIFEST, manifest.model_dump_json(indent=1).encode())


def _put_in_place(partial: Path, final: Path) -> None:
    """Renames; another folder of the same step steps aside."""
    if final.exists():
        logger.warning("%s is there already and is now %s", final, _set_aside(final))
    partial.rename(final)
    sync_folder(final.parent)
    sync_folder(final.parent.parent)


def _delete_older(checkpoints: Path, step: int, *, keep: int) -> None:
    """Deletes what is older than the newest `keep` complete checkpoints up to `step`, the one that was just written.

    One with missing or cut files does not count. One of a later step was not written by this run, and stays.
    """
    num_complete = 0
    for checkpoint in finished_checkpoints(checkpoints):
        if checkpoint.step > step:
            continue
        if num_complete == keep:
            checkpoint.path.rename(checkpoint.path.with_name(checkpoint.path.name + PARTIAL))
        elif find_damage(checkpoint.path, digests=False) is None:
            num_complete += 1
    _delete_partial(checkpoints)


def _delete_partial(checkpoints: Path) -> None:
    """Deletes what killed processes left unfinished, and what is on its way out."""
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


def _digest_of(files: Mapping[str, FileEntry]) -> str:
    listed = json.dumps({name: entry.model_dump() for name, entry in files.items()}, sort_keys=True)
    return xxhash.xxh3_128_hexdigest(listed.encode())
