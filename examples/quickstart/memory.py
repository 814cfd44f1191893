"""Memory of a whole process tree over time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import psutil

PERIOD_S = 1.0


class PeakMemory:
    """The largest sum of resident bytes over this process and all its descendants, grandchildren that lost their parent included.

    Pages that processes share count once for each, so the figure is an upper bound.
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._root = psutil.Process()
        self._seen: set[psutil.Process] = set()

    def sample(self) -> None:
        """Look once."""
        tree = {self._root, *self._root.children(recursive=True)}
        for orphan in self._seen - tree:
            with contextlib.suppress(psutil.Error):
                tree.update(orphan.children(recursive=True))
        self._seen |= tree
        total = 0
        for process in list(self._seen):
            try:
                total += process.memory_info().rss
            except psutil.Error:
                self._seen.discard(process)
        self.peak_bytes = max(self.peak_bytes, total)


@contextlib.contextmanager
def peak_memory() -> Iterator[PeakMemory]:
    """Sample in the background until the block ends."""
    memory, finished = PeakMemory(), threading.Event()

    def watch() -> None:
        while not finished.wait(PERIOD_S):
            memory.sample()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        finished.set()
        thread.join()
        memory.sample()
