"""Rows that threads build before their turn comes, while those before them are used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from lmm_r1_mega.data.formats.rows import BadRow
from lmm_r1_mega.data.images.decode import ImageRefused
from lmm_r1_mega.data.stream.prepare import PreparedRecord
from lmm_r1_mega.data.stream.threads import Threads
from lmm_r1_mega.errors import ProcessLost

Item = TypeVar("Item")

AHEAD_BYTES = 192 * 2**20
"""Images of rows that are built and not yet taken."""
ROW_LIMIT_S = 300.0
"""Time that one row may take to be built once its turn has come."""


@dataclass(frozen=True)
class _Begun(Generic[Item]):
    """A row that a thread builds or has built."""

    entry: PreparedRecord
    num_bytes: int
    item: Future[Item]


class Ahead(Generic[Item]):
    """The entries' items in their order, built by threads ahead of who takes them, as far as some `AHEAD_BYTES` of images go.

    A row that cannot be built is known when its turn comes. What nobody takes any more is not built.
    """

    def __init__(
        self,
        entries: Iterator[PreparedRecord],
        build: Callable[[PreparedRecord], Item],
        num_bytes: Callable[[PreparedRecord], int],
        *,
        num_threads: int,
    ) -> None:
        """`num_bytes` is what the images of an entry will take."""
        self._entries, self._build, self._num_bytes = entries, build, num_bytes
        self._threads = Threads(num_threads)
        self._begun: deque[_Begun[Item]] = deque()

    def begin(self, count: int) -> None:
        """Have the next `count` rows built, or as many as there are or there is memory for; one in any case."""
        num_bytes = sum(begun.num_bytes for begun in self._begun)
        while len(self._begun) < count and (num_bytes < AHEAD_BYTES or not self._begun):
            entry = next(self._entries, None)
            if entry is None:
                return
            begun = _Begun(entry, self._num_bytes(entry), self._threads.submit(partial(self._build, entry)))
            self._begun.append(begun)
            num_bytes += begun.num_bytes

    def take(self, count: int) -> Item | BadRow:
        """The next row, with those after it begun so that there are `count` in all. One whose image cannot be read is a bad row.

        Raises: ProcessLost if it is not built in time, IndexError behind the last.
        """
        self.begin(count)
        begun = self._begun.popleft()
        if wait([begun.item], timeout=ROW_LIMIT_S).not_done:
            raise ProcessLost(
                f"row {begun.entry.row.id} was not built within {ROW_LIMIT_S:.0f} s: look whether the disk of its images answers"
            )
        try:
            return begun.item.result()
        except ImageRefused as refusal:
            return begun.entry.row.refused("image", str(refusal))
