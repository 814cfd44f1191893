"""Whole data files: read, checked, and gone through once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.formats.rows import BROKEN_LIST, FIXES, BadRow
from lmm_r1_mega.data.stream.ahead import Ahead
from lmm_r1_mega.data.stream.build import Builder, Demonstration
from lmm_r1_mega.data.stream.prepare import ImageChecks, PreparedRecord, Preparer, image_limits
from lmm_r1_mega.data.stream.prompts import Purpose, read_rows
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.schema import Prompt

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

_FATAL = ("duplicate_id", BROKEN_LIST)  # results that could not be told apart, and rows that nobody knows
_ROWS_AHEAD = 256  # as many as an evaluation takes at a time
_SHOWN = 5  # bad rows spelled out in an error or a log line


@dataclass(frozen=True)
class Loaded:
    """Usable rows of a file and the others."""

    entries: list[PreparedRecord]
    bad_rows: list[BadRow]


def load_entries(path: Path, settings: DataSettings, processor: Processor, *, purpose: Purpose, max_tokens: int | None = None) -> Loaded:
    """Read, tokenize and check a file. If bad rows are refused, every image is decoded; else its header is looked at.

    Raises: ValueError if the file as a whole cannot be read.
    """
    images = ImageChecks(image_limits(path, settings), decode=settings.bad_rows == "refuse")
    preparer = Preparer(processor, images, settings, max_tokens=max_tokens)
    prepared = list(preparer.prepare(read_rows(path, settings, purpose=purpose)))
    return Loaded(
        entries=[item for item in prepared if isinstance(item, PreparedRecord)],
        bad_rows=[item for item in prepared if isinstance(item, BadRow)],
    )


def check_bad_rows(bad_rows: list[BadRow], settings: DataSettings) -> None:
    """Stop if `data.bad_rows` says so, and always for those that are `_FATAL`; else log.

    Raises: BadData that spells out the first rows and the fix.
    """
    fatal = bad_rows if settings.bad_rows == "refuse" else [bad for bad in bad_rows if bad.kind in _FATAL]
    if fatal:
        raise BadData(f"{len(fatal)} rows cannot be used:\n{describe_bad_rows(fatal)}")
    if bad_rows:
        logger.warning("%d bad rows are left out:\n%s", len(bad_rows), describe_bad_rows(bad_rows))


def describe_bad_rows(bad_rows: list[BadRow]) -> str:
    """Counts by kind with the fix, then the first rows."""
    kinds = Counter(bad.kind for bad in bad_rows)
    lines = [f"  {count} x {kind}: {FIXES[kind]}" for kind, count in kinds.most_common()]
    lines += [f"  {bad}" for bad in bad_rows[:_SHOWN]]
    if len(bad_rows) > _SHOWN:
        lines.append(f"  and {len(bad_rows) - _SHOWN} more: `lmm-r1-mega data check FILE` lists them")
    return "\n".join(lines)


class _RowFile(Generic[Item]):
    """The rows of one file in its order; they are built a few ahead of whom goes through them, so images are not all in memory."""

    def __init__(
        self, path: Path, loaded: Loaded, settings: DataSettings, builder: Builder, build: Callable[[PreparedRecord], Item]
    ) -> None:
        """`build` is a method of `builder`."""
        self.bad_rows = loaded.bad_rows
        """Rows that were left out, those found while iterating at the end."""
        check_bad_rows(self.bad_rows, settings)
        if not loaded.entries:
            raise BadData(f"no usable row in {path}: `lmm-r1-mega data check {path}` says why")
        self._entries = loaded.entries
        self._builder, self._build = builder, build
        self._num_threads = settings.image_workers

    def __len__(self) -> int:
        """Rows that passed the check."""
        return len(self._entries)

    @property
    def max_images(self) -> int:
        """Images of the row that has most."""
        return max(len(entry.sources) for entry in self._entries)

    @property
    def answers(self) -> list[str | int | float | None]:
        """The rows' gold answers."""
        return [entry.row.answer for entry in self._entries]

    def __iter__(self) -> Iterator[Item]:
        """Every row; one whose image turns out to be unreadable is left out and joins `bad_rows`."""
        ahead = Ahead(iter(self._entries), self._build, self._builder.num_bytes, num_threads=self._num_threads)
        for _ in self._entries:
            item = ahead.take(_ROWS_AHEAD)
            if isinstance(item, BadRow):
                note_unreadable(item, self.bad_rows)
            else:
                yield item


class PromptFile(_RowFile[Prompt]):
    """Prompts of one file, for evaluation."""

    def __init__(self, path: Path, settings: DataSettings, processor: Processor) -> None:
        """Raises: ValueError if the file cannot be read or has no usable row, or a bad row is refused."""
        loaded = load_entries(path, settings, processor, purpose="prompts")
        builder = Builder(processor, settings)
        super().__init__(path, loaded, settings, builder, builder.prompt)


class DemonstrationFile(_RowFile[Demonstration]):
    """Demonstrations of one file."""

    def __init__(self, path: Path, settings: DataSettings, processor: Processor) -> None:
        """Raises: ValueError if the file cannot be read or has no usable row, or a bad row is refused."""
        loaded = load_entries(path, settings, processor, purpose="demonstrations")
        builder = Builder(processor, settings)
        super().__init__(path, loaded, settings, builder, builder.demonstration)


def note_unreadable(bad: BadRow, bad_rows: list[BadRow]) -> None:
    """Put a row whose image could not be decoded on the list, once, and log it."""
    if bad not in bad_rows:
        bad_rows.append(bad)
        logger.warning("row left out: %s", bad)
