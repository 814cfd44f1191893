"""Endless prompts and demonstrations out of data files, from any position on; the next ones are built while these are used."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.formats.rows import BadRow
from lmm_r1_mega.data.images.decode import ImageRefused
from lmm_r1_mega.data.stream.ahead import Ahead
from lmm_r1_mega.data.stream.build import Builder, Demonstration
from lmm_r1_mega.data.stream.files import Loaded, check_bad_rows, load_entries, note_unreadable
from lmm_r1_mega.data.stream.order import Order
from lmm_r1_mega.data.stream.prepare import PreparedRecord
from lmm_r1_mega.data.stream.prompts import check_names
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.schema import Prompt

logger = logging.getLogger(__name__)

Item = TypeVar("Item")


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


class _RowStream(Generic[Item]):
    """Rows of `data.train` in the order of the seed.

    They are built ahead of what is taken, by as many rows as were taken last. Nobody sees it: a row that cannot be built is noted,
    and the position moves, when its turn comes.
    """

    def __init__(
        self, loaded: list[Loaded], settings: DataSettings, builder: Builder, build: Callable[[PreparedRecord], Item], *, seed: int
    ) -> None:
        """`build` is a method of `builder`."""
        self.bad_rows = [bad for file in loaded for bad in file.bad_rows]
        """Rows that were left out, those found while training at the end."""
        check_bad_rows(self.bad_rows, settings)
        self._settings = settings
        self._builder, self._build = builder, build
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
    def answers(self) -> list[str | int | float | None]:
        """The rows' gold answers, in the order of the files."""
        return [entry.row.answer for pool in self._pools for entry in pool]

    def examples(self, rows: Iterable[int]) -> list[Item]:
        """Rows by their place among `answers`, without those whose image cannot be read. The stream stays where it is."""
        entries = list(itertools.chain.from_iterable(self._pools))
        items: list[Item] = []
        for row in rows:
            with contextlib.suppress(ImageRefused):
                items.append(self._build(entries[row]))
        return items

    def take(self, count: int) -> list[Item]:
        """The next rows. One whose image turns out to be unreadable is left out and joins `bad_rows`.

        Raises: BadData if no row can be built any more, ProcessLost if one is not built in time.
        """
        items: list[Item] = []
        failures = 0
        while len(items) < count:
            item = self._ahead.take(count - len(items))
            self._visited += 1
            if not isinstance(item, BadRow):
                items.append(item)
                continue
            note_unreadable(item, self.bad_rows)
            failures += 1
            if failures > 2 * len(self):
                raise BadData(f"no image of data.train can be read any more, the last: {item.reason}")
        self._ahead.begin(count)
        return items

    def position(self) -> StreamPosition:
        """Where the stream stands."""
        epoch, index = divmod(self._visited, len(self))
        return StreamPosition(self._seed, epoch, index, self._digest, self._mixing)

    def restore(self, position: StreamPosition, *, allow_change: bool = False) -> bool:
        """Go on from a position of a stream over the same rows; the inverse of `position`.

        Over other rows, if `allow_change` says so, the stream stays at its first row, and the answer is False.

        Raises: ValueError if the settings mix the rows in another way, BadData if the rows are others.
        """
        try:
            self._check_same(position)
        except ValueError as change:
            if not allow_change:
                raise
            logger.warning("the run goes on with the first row of its data: %s", change)
            return False
        self._restart(position.seed, visited=position.epoch * len(self) + position.index)
        return True

    def _check_same(self, position: StreamPosition) -> None:
        if position.mixing != self._mixing:
            raise ValueError(
                f"the checkpoint's place among the rows of data.train is with {position.mixing}, the settings say {self._mixing}: "
                f"set them back, or begin with the first row by --allow-change"
            )
        if position.rows_digest != self._digest:
            raise BadData(
                "the rows of data.train are not those of the checkpoint: its files, their images, the chat template or settings of data "
                "have changed; bring them back, or begin with the first row by --allow-change"
            )

    def _restart(self, seed: int, *, visited: int) -> None:
        sizes = tuple(len(pool) for pool in self._pools)
        order = Order(sizes, weights=self._settings.probabilities or (1.0,), seed=seed, shuffle=self._settings.shuffle)
        entries = _visits(self._pools, order, first=visited)
        self._ahead = Ahead(entries, self._build, self._builder.num_bytes, num_threads=self._settings.image_workers)
        self._seed = seed
        self._visited = visited


class PromptStream(_RowStream[Prompt]):
    """Prompts for reinforcement learning."""

    def __init__(self, settings: DataSettings, processor: Processor, *, seed: int) -> None:
        """Raises: ValueError if a file cannot be read, has no usable row, or a bad row is refused."""
        _check_files(settings)
        loaded = [load_entries(path, settings, processor, purpose="prompts") for path in settings.train]
        builder = Builder(processor, settings)
        super().__init__(loaded, settings, builder, builder.prompt, seed=seed)


class DemonstrationStream(_RowStream[Demonstration]):
    """Demonstrations for supervised training; prompt and answer together have at most `max_tokens` tokens."""

    def __init__(self, settings: DataSettings, processor: Processor, *, seed: int, max_tokens: int | None = None) -> None:
        """Raises: ValueError if a file cannot be read, has no usable row, or a bad row is refused."""
        _check_files(settings)
        loaded = [load_entries(path, settings, processor, purpose="demonstrations", max_tokens=max_tokens) for path in settings.train]
        builder = Builder(processor, settings)
        super().__init__(loaded, settings, builder, builder.demonstration, seed=seed)


def _check_files(settings: DataSettings) -> None:
    if not settings.train:
        raise ValueError("data.train is empty: name at least one file of rows")
    check_names(settings.train)


def _pools(entries: list[list[PreparedRecord]], settings: DataSettings) -> list[list[PreparedRecord]]:
    """One pool per file if files are mixed by probabilities, else one of all rows."""
    pools = entries if settings.probabilities else [[entry for file in entries for entry in file]]
    if not all(pools):
        names = ", ".join(str(path) for path, file in zip(settings.train, entries, strict=True) if not file)
        raise BadData(f"no usable row in {names}: `lmm-r1-mega data check FILE` says why")
    return pools


def _visits(pools: list[list[PreparedRecord]], order: Order, *, first: int) -> Iterator[PreparedRecord]:
    """The entries in the order in which they are visited, without end."""
    for pool, index in map(order.visit, itertools.count(first)):
        yield pools[pool][index]


def _describe_mixing(settings: DataSettings) -> str:
    """The settings that the order of the rows depends on, beside the seed."""
    probabilities = " ".join(map(str, settings.probabilities)) or "none"
    return f"data.probabilities {probabilities} and data.shuffle {settings.shuffle}"


def _rows_digest(pools: list[list[PreparedRecord]]) -> str:
    """Hash of what the rows ask, of their images and of their order in the files."""
    digest = hashlib.blake2b(digest_size=16)
    for number, pool in enumerate(pools):
        for entry in pool:
            digest.update(repr((number, entry.row.id, entry.row.answer, entry.image_tokens)).encode())
            digest.update(entry.token_ids.tobytes() + entry.response_ids.tobytes() + b"".join(entry.image_digests))
    return digest.hexdigest()
