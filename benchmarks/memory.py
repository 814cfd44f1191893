"""Memory of a process and all below it, for the benchmarks."""

from __future__ import annotations

import threading

import psutil


class Peak:
    """Watches the memory of a process and all below it; this one where none is named."""

    def __init__(self, pid: int | None = None, *, every_s: float = 0.2) -> None:
        self.largest = 0
        self._pid, self._every_s = pid, every_s
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def end(self) -> int:
        """Bytes at the worst moment that was looked at."""
        self._ended.set()
        self._watch.join()
        return self.largest

    def _look(self) -> None:
        known: dict[int, int] = {}
        while not self._ended.wait(self._every_s):
            found = _sizes(self._pid)
            self.largest = max(self.largest, sum(size for pid, size in found.items() if pid in known))
            known = found  # before it is its own program, a new process is its parent once more


def memory(pid: int | None = None) -> int:
    """Bytes, shared ones divided among those that share them."""
    return sum(_sizes(pid).values())


def _sizes(pid: int | None) -> dict[int, int]:
    """Of the process and all below it."""
    try:
        root = psutil.Process(pid)
        return {process.pid: _pss(process) for process in (root, *root.children(recursive=True))}
    except psutil.Error:  # it has ended
        return {}


def _pss(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except psutil.Error:  # it has ended
        return 0
