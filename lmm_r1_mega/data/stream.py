"""Endless prompts and demonstrations out of data files, from any position on; the next ones are built while these are used."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.build import Builder, Demonstration
from lmm_r1_mega.data.files import Loaded, load_entries, note_unreadable, refuse_bad_rows
from lmm_r1_mega.data.images import ImageRefused
from lmm_r1_mega.data.order import Order
from lmm_r1_mega.data.prepare import Entry
from lmm_r1_mega.data.processor import Processor
from lmm_r1_mega.data.prompts import check_names
from lmm_r1_mega.data.threads import Threads
from lmm_r1_mega.errors import BadData, ProcessLost
from lmm_r1_mega.schema import Prompt

Item = TypeVar("Item")

AHEAD_BYTES = 256 * 2**20
"""Pictures of rows that are built and not yet taken."""
ROW_LIMIT_S = 300.0
"""Time that one row may take to be built once its turn has come."""


@dataclass(frozen=True)
class StreamPosition:
    """Where a stream stands; all that a checkpoint needs."""

    seed: int
    epoch: int
    """Times that as many rows were visited as there are."""
    index: int
    """Rows visited in this epoch."""
    rows_digest: str
    """Tells whether the rows are still the same."""
    mixing: str
    """How the order depends on the settings: another mixing has other rows at the same place."""


@dataclass(frozen=True)
class _Begun(Generic[Item]):
    """A row that a thread builds or has built."""

    entry: Entry
    num_bytes: int
    item: Future[Item]


class _RowStream(Generic[Item]):
    """Rows of `data.train` in the order of the seed.

    Threads build ahead of what is taken, by as many rows as were taken last and some `AHEAD_BYTES` of pictures. Nobody sees it: a
    row that cannot be built is noted, and the position moves, when its turn comes.
    """

    def __init__(
        self, loaded: list[Loaded], settings: DataSettings, builder: Builder, build: Callable[[Entry], Item], *, seed: int
    ) -> None:
        """`build` is a method of `builder`."""
        self.bad_rows = [bad for file in loaded for bad in file.bad_rows]
        """Rows that were left out, those found while training at the end."""
        refuse_bad_rows(self.bad_rows, settings)
        self._settings = settings
        self._builder, self._build = builder, build
        self._threads = Threads(settings.image_workers)
        self._begun: deque[_Begun[Item]] = deque()
        self._pools = _pools([file.entries for file in loaded], settings)
        self._digest = _rows_digest(self._pools)
        self._mixing = _describe_mixing(settings)
        self._restart(seed, visited=0)

    def __len__(self) -> int:
        """Rows of one epoch."""
        return sum(len(pool) for pool in self._pools)

    @property
    def max_images(self) -> int:
        """Images of the row that has most."""
        return max(len(entry.sources) for pool in self._pools for entry in pool)

    @property
    def num_answered(self) -> int:
        """Rows with a gold answer."""
        return sum(entry.row.answer is not None for pool in self._pools for entry in pool)

    def take(self, count: int) -> list[Item]:
        """The next rows. One whose image turns out to be unreadable is left out and joins `bad_rows`.

        Raises: BadData where no row can be built any more, ProcessLost where one is not built in time.
        """
        items: list[Item] = []
        failures = 0
        while len(items) < count:
            self._begin(count - len(items))
            begun = self._begun.popleft()
            self._visited += 1
            try:
                items.append(self._built(begun))
            except ImageRefused as refusal:
                note_unreadable(begun.entry, refusal, self.bad_rows)
                failures += 1
                if failures > 2 * len(self):
                    raise BadData(f"no image of data.train can be read any more, the last: {refusal}") from refusal
        self._begin(count)
        return items

    def position(self) -> StreamPosition:
        """Where the stream stands."""
        epoch, index = divmod(self._visited, len(self))
        return StreamPosition(self._seed, epoch, index, self._digest, self._mixing)

    def restore(self, position: StreamPosition) -> None:
        """Go on from a position of a stream over the same rows; the inverse of `position`.

        Raises: ValueError where the settings mix the rows in another way, BadData where the rows are others.
        """
        if position.mixing != self._mixing:
            raise ValueError(
                f"the checkpoint's place among the rows of data.train is with {position.mixing}, the settings say {self._mixing}: "
                f"set them back, or start a new run from the exported model"
            )
        if position.rows_digest != self._digest:
            raise BadData(
                "the rows of data.train are not those of the checkpoint: its files, the chat template or settings of data have changed; "
                "bring them back, or start a new run from the exported model"
            )
        self._restart(position.seed, visited=position.epoch * len(self) + position.index)

    def _begin(self, count: int) -> None:
        """Have the next `count` rows built, or as many as there is memory for."""
        num_bytes = sum(begun.num_bytes for begun in self._begun)
        while len(self._begun) < count and (num_bytes < AHEAD_BYTES or not self._begun):
            pool, index = self._order.visit(self._visited + len(self._begun))
            entry = self._pools[pool][index]
            begun = _Begun(entry, self._builder.num_bytes(entry), self._threads.submit(partial(self._build, entry)))
            self._begun.append(begun)
            num_bytes += begun.num_bytes

    def _built(self, begun: _Begun[Item]) -> Item:
        if wait([begun.item], timeout=ROW_LIMIT_S).not_done:
            raise ProcessLost(
                f"row {begun.entry.row.id} was not built within {ROW_LIMIT_S:.0f} s: look whether the disk of its images answers"
            )
        return begun.item.result()

    def _restart(self, seed: int, *, visited: int) -> None:
        for begun in self._begun:
            begun.item.cancel()
        self._begun.clear()
        sizes = tuple(len(pool) for pool in self._pools)
        self._order = Order(sizes, weights=self._settings.probabilities or (1.0,), seed=seed, shuffle=self._settings.shuffle)
        self._seed = seed
        self._visited = visited


class PromptStream(_RowStream[Prompt]):
    """Prompts for reinforcement learning."""

    def __init__(self, settings: DataSettings, processor: Processor, *, seed: int) -> None:
        """Raises: ValueError where a file cannot be read, has no usable row, or a bad row is refused."""
        _check_files(settings)
        loaded = [load_entries(path, settings, processor, purpose="prompts") for path in settings.train]
        builder = Builder(processor, settings)
        super().__init__(loaded, settings, builder, builder.prompt, seed=seed)


class DemonstrationStream(_RowStream[Demonstration]):
    """Demonstrations for supervised training; prompt and answer together have at most `max_tokens` tokens."""

    def __init__(self, settings: DataSettings, processor: Processor, *, seed: int, max_tokens: int | None = None) -> None:
        """Raises: ValueError where a file cannot be read, has no usable row, or a bad row is refused."""
        _check_files(settings)
        loaded = [load_entries(path, settings, processor, purpose="demonstrations", max_tokens=max_tokens) for path in settings.train]
        builder = Builder(processor, settings)
        super().__init__(loaded, settings, builder, builder.demonstration, seed=seed)


def _check_files(settings: DataSettings) -> None:
    if not settings.train:
        raise ValueError("data.train is empty: name at least one file of rows")
    check_names(settings.train)


def _pools(entries: list[list[Entry]], settings: DataSettings) -> list[list[Entry]]:
    """A pool a file where files are mixed by probabilities, one of all rows elsewhere."""
    pools = entries if settings.probabilities else [[entry for file in entries for entry in file]]
    if not all(pools):
        names = ", ".join(str(path) for path, file in zip(settings.train, entries, strict=True) if not file)
        raise BadData(f"no usable row in {names}: `lmm-r1-mega data check FILE` says why")
    return pools


def _describe_mixing(settings: DataSettings) -> str:
    """The settings that the order of the rows depends on, beside the seed."""
    probabilities = " ".join(map(str, settings.probabilities)) or "none"
    return f"data.probabilities {probabilities} and data.shuffle {settings.shuffle}"


def _rows_digest(pools: list[list[Entry]]) -> str:
    """Hash of what the rows ask and of their order in the files; pictures count by their place and size."""
    digest = hashlib.blake2b(digest_size=16)
    for number, pool in enumerate(pools):
        for entry in pool:
            digest.update(repr((number, entry.row.id, entry.row.answer, entry.image_tokens)).encode())
            digest.update(entry.token_ids.tobytes() + entry.response_ids.tobytes())
    return digest.hexdigest()
