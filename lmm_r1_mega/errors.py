"""Errors with an exit status of their own; any other ValueError is a wrong setting, anything else an internal error."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

DONE, USAGE, BAD_DATA, INTERNAL, REQUEUE, INTERRUPTED = 0, 2, 65, 70, 75, 130
"""Exit statuses of the command line."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
BROKEN = frozenset({errno.EROFS, errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.EUCLEAN, errno.ENOTCONN, errno.ESHUTDOWN})
"""What the system says of a disk that fails, of one that it has made read-only for that, and of a network file system that is gone."""


class BadData(ValueError):
    """The user's data cannot be used: rows, images, checkpoints (exit status 65)."""


class StorageFailed(OSError):
    """A file system fails or is read-only; when it works again the run goes on with `lmm-r1-mega resume` (exit status 75)."""


class DiskFull(StorageFailed):
    """There is no room to write; with room the run goes on with `lmm-r1-mega resume` (exit status 75)."""


class NotFinite(ValueError):
    """A number of the training is NaN or out of all bounds: nothing that it has touched is published or saved (exit status 2)."""


class SamplesLost(RuntimeError):
    """Samples were dispatched and neither trained nor dropped with a reason: an internal error, and the run stops (exit status 70)."""


class ProcessLost(RuntimeError):
    """A process died or did not answer in time; the run goes on with `lmm-r1-mega resume` (exit status 75)."""

    def __init__(self, message: str, process: str = "") -> None:
        super().__init__(message)
        self.process = process
        """Which one, where it is known."""


class Stopped(RuntimeError):
    """The run was asked to end, and has saved; it goes on with `lmm-r1-mega resume` (exit status 75)."""


def exit_status(error: BaseException) -> int:
    """The status that an error ends the command line with; INTERNAL if the user cannot fix it."""
    if isinstance(error, OSError) and error.errno in FULL | BROKEN:
        return REQUEUE
    kinds = (
        (BadData, BAD_DATA),
        (ProcessLost, REQUEUE),
        (StorageFailed, REQUEUE),
        (Stopped, REQUEUE),
        (ValueError, USAGE),
        (KeyboardInterrupt, INTERRUPTED),
    )
    return next((status for kind, status in kinds if isinstance(error, kind)), INTERNAL)


def cause_of(error: BaseException) -> str:
    """What an error is called at the end of a command."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return f"{type(error).__name__}: {error}" if exit_status(error) == INTERNAL else str(error)


@contextlib.contextmanager
def naming_storage_errors(path: Path) -> Iterator[None]:
    """Turns the system's errors of a full, read-only or failing disk into `DiskFull` or `StorageFailed`, with the place and the way out."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull(
                f"no room to write {path} ({error.strerror}, {_free_mib(path)} MiB free): nothing written before is lost; make room, then "
                f"`lmm-r1-mega resume`"
            ) from error
        if error.errno in BROKEN:
            raise StorageFailed(
                f"{path} cannot be read or written ({error.strerror}): nothing written before is lost; when its file system works again, "
                f"`lmm-r1-mega resume`"
            ) from error
        raise


def _free_mib(path: Path) -> int:
    try:
        return shutil.disk_usage(path.parent).free // 2**20
    except OSError:
        return 0
