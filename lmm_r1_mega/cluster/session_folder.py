"""The folder of a private cluster: gone at the end of a run, or at the start of the next one where the driver was killed.

A driver holds a lock on a file of its folder as long as it lives; the kernel lets go of it whatever ends the driver.
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


@contextmanager
def session_folder() -> Iterator[Path]:
    """A new folder in the temporary directory; those of drivers that are dead are removed first."""
    remove_abandoned(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with open(folder / f"{LOCK}.new", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.rename(folder / f"{LOCK}.new", folder / LOCK)  # under its name it is locked from the beginning
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
