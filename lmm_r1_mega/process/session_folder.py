"""The folder of a run's processes: gone at the end of the run, or at the start of the next one where its owner was killed.

It holds Ray's folder and the temporary directory of all processes, and nobody but this user can enter it. Its owner, the run's parent
process, or the driver of a run without one, holds a lock on a file of it as long as it lives; the kernel lets go of it whatever
ends the owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "lmm_r1_ray_"
LOCK = "driver.lock"
FOLDER_VARIABLE = "LMM_R1_MEGA_FOLDER"
"""Where a driver learns of the folder that its parent owns."""
SHORT = "/tmp"
RAY = "ray"
WORKERS_TMP = "tmp"
LONGEST_SOCKET = f"/{PREFIX}12345678/{RAY}/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""What the path of a socket of Ray has behind the temporary directory, at its longest."""
MAX_PARENT_BYTES = 107 - len(LONGEST_SOCKET)
"""Linux takes 107 bytes as the path of a socket."""


@contextmanager
def session_folder() -> Iterator[Path]:
    """A new folder in the temporary directory; those of drivers that are dead are removed first.

    Raises:
        ValueError: there is no temporary directory whose path leaves room for sockets.
    """
    parent = temporary_directory()
    remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        with open(folder / f"{LOCK}.new", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.rename(folder / f"{LOCK}.new", folder / LOCK)  # under its name it is locked from the beginning
            (folder / WORKERS_TMP).mkdir()
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def temporary_directory() -> Path:
    """TMPDIR, or SHORT where its path is too long for the sockets below it.

    Raises:
        ValueError: neither will do.
    """
    for path in (tempfile.gettempdir(), SHORT):
        if len(os.fsencode(path)) <= MAX_PARENT_BYTES and os.access(path, os.W_OK | os.X_OK):
            return Path(path)
    raise ValueError(
        f"TMPDIR {tempfile.gettempdir()} is longer than {MAX_PARENT_BYTES} bytes, too long for the sockets of a run, and {SHORT} cannot be "
        f"written: set TMPDIR to a shorter folder"
    )


def remove_abandoned(parent: Path) -> None:
    """Remove this user's session folders whose driver is dead; what is not ours, or cannot be told, stays."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # one that is in use, gone by now, or no folder of this kind
            if folder.lstat().st_uid == os.getuid() and not folder.is_symlink():
                _remove_unless_held(folder)


def _remove_unless_held(folder: Path) -> None:
    with open(os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW), "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
