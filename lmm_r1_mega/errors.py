"""Errors with an exit status of their own; any other ValueError is a wrong setting, anything else a fault of ours."""

from __future__ import annotations


class BadData(ValueError):
    """The user's data cannot be used: rows, images, checkpoints (exit status 65)."""


class DiskFull(OSError):
    """There is no room to write; with room the run goes on with `lmm-r1-mega resume` (exit status 75)."""


class ProcessLost(RuntimeError):
    """A worker process died or did not answer in time; the run goes on with `lmm-r1-mega resume` (exit status 75)."""
