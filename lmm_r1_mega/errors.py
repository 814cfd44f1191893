"""Errors with an exit status of their own; any other ValueError is a wrong setting, anything else a fault of ours."""

from __future__ import annotations

DONE, USAGE, BAD_DATA, INTERNAL, REQUEUE, INTERRUPTED = 0, 2, 65, 70, 75, 130
"""Exit statuses of the command line."""


class BadData(ValueError):
    """The user's data cannot be used: rows, images, checkpoints (exit status 65)."""


class DiskFull(OSError):
    """There is no room to write; with room the run goes on with `lmm-r1-mega resume` (exit status 75)."""


class SamplesLost(RuntimeError):
    """Samples were dispatched and neither trained nor dropped with a reason: a fault of ours, and the run stops (exit status 70)."""


class ProcessLost(RuntimeError):
    """A worker process died or did not answer in time; the run goes on with `lmm-r1-mega resume` (exit status 75)."""


def exit_status(error: BaseException) -> int:
    """The status that an error ends the command line with; INTERNAL for what no user can mend."""
    kinds = ((BadData, BAD_DATA), (ProcessLost, REQUEUE), (DiskFull, REQUEUE), (ValueError, USAGE), (KeyboardInterrupt, INTERRUPTED))
    return next((status for kind, status in kinds if isinstance(error, kind)), INTERNAL)
