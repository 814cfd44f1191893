"""Who writes to a run's folder: one process at a time, named in the folder's `run.lock` while it is at work."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from lmm_r1_mega.errors import BROKEN, FULL, naming_storage_errors

LOCK_FILE = "run.lock"
TAKEN = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
"""What flock says of another's lock; the last two where a network file system makes a lock of fcntl's kind of it."""
NAME_WAIT_S = 1.0
"""Between taking a lock and writing its name there, an owner may be slow."""


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to `folder` while the block lasts, or until this process ends, however it does.

    The folder is made where there is none, and goes again where the block has written nothing.

    Raises:
        ValueError: another process is at work, which is named, or the folder can be neither made nor locked.
        StorageFailed: the disk fails, or is full or read-only.
    """
    is_new = not folder.exists()
    with naming_storage_errors(folder / LOCK_FILE):
        file = _locked(folder)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # whoever comes next takes the file as it is
            (folder / LOCK_FILE).unlink()
        file.close()
        if is_new:
            with contextlib.suppress(OSError):  # it is not empty, as a run's folder is not
                folder.rmdir()


def _locked(folder: Path) -> TextIO:
    """The lock file, locked and with this process's name."""
    while True:
        file = _open(folder)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            with file:
                raise _refusal(error, folder, file) from error
        if os.fstat(file.fileno()).st_nlink:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            return file
        file.close()  # its last owner has removed it since it was opened


def _open(folder: Path) -> TextIO:
    """The lock file, open for writing: without that, network file systems give no exclusive lock."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return os.fdopen(os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+")
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not folder.exists():
                continue  # its last owner has removed the empty folder in between
            if error.errno in FULL | BROKEN:
                raise
            raise ValueError(f"run.folder {folder} cannot be made: {error.strerror}") from None


def _refusal(error: OSError, folder: Path, file: TextIO) -> Exception:
    if error.errno in FULL | BROKEN:
        return error
    if error.errno in TAKEN:
        return ValueError(f"another process is writing to {folder} ({_owner(file)}): wait for it, or stop it")
    return ValueError(f"run.folder {folder} cannot be locked ({error.strerror}): choose one on a file system with locks, by --run.folder")


def _owner(file: TextIO) -> str:
    deadline = time.monotonic() + NAME_WAIT_S
    while not (name := file.read()) and time.monotonic() < deadline:
        file.seek(0)
        time.sleep(0.01)
    return name or "it has not written its name yet"
