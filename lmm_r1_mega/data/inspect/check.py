"""A look at a data file before any device is spent on it: `data check FILE`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import xxhash

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.formats.columns import format_of
from lmm_r1_mega.data.formats.rows import FIXES, BadRow
from lmm_r1_mega.data.images.decode import ImageRefused
from lmm_r1_mega.data.inspect.gold import GoldAnswers, GoldProblems
from lmm_r1_mega.data.stream.prepare import ImageChecks, PreparedRecord, Preparer, image_limits
from lmm_r1_mega.data.stream.prompts import Record, read_rows

if TYPE_CHECKING:  # without a model a file is checked without the seconds and the memory that importing torch takes
    from lmm_r1_mega.data.chat.processor import Processor

_BATCH = 256  # rows whose answers are judged together; with more, Python looks for cycles among them again and again
_BAR = 40  # letters of a histogram's longest bar
_SHOWN = 20  # rows of a kind that can be used and are worth a look


@dataclass(frozen=True)
class Histogram:
    """Counts of sizes up to 1, 2, 4, 8, ..."""

    smallest: int
    median: float
    largest: int
    counts: dict[int, int]
    """Upper bound of a bucket -> how many are in it; empty buckets between full ones included."""


@dataclass(frozen=True)
class Answers:
    """What the gold answers of the good rows are worth."""

    num_present: int
    missing: tuple[int, ...]
    """Lines without one."""
    problems: dict[int, str]
    """Line -> why the reward could not compare anything with its answer; empty if nobody looked."""

    @property
    def share(self) -> float:
        """Rows with an answer that can be compared, among all good rows; 0 if there are none."""
        return (self.num_present - len(self.problems)) / max(1, self.num_present + len(self.missing))


@dataclass(frozen=True)
class Report:
    """All that is known about a data file."""

    file: Path
    unit: str
    """What the rows' numbers count: lines, elements of a list, or rows."""
    num_good: int
    num_demonstrations: int
    num_images: int
    sources: dict[str, int]
    bad_rows: tuple[BadRow, ...]
    repeated: dict[int, int]
    """Line of a good row -> the earlier line with the same turns and images."""
    answers: Answers
    prompt_tokens: Histogram | None
    """Of expanded prompts; None if no row is good or no model was at hand."""
    image_tokens: Histogram | None
    """Of single images."""

    @property
    def is_clean(self) -> bool:
        """Whether every row can be used, and there is one."""
        return not self.bad_rows and self.num_good > 0


def check_file(path: Path, settings: DataSettings, processor: Processor | None, *, answer_problems: GoldProblems | None = None) -> Report:
    """Read every row once and decode every image; with a model's processor tokens are counted too.

    Of the rows only a digest and the id, if there is one, stay in memory. `answer_problems` knows which gold answers the rewards can use.

    Raises: ValueError if the file as a whole cannot be read.
    """
    rows, images = read_rows(path, settings, purpose="any"), ImageChecks(image_limits(path, settings), decode=True)
    checked = _without_model(rows, images) if processor is None else Preparer(processor, images, settings).prepare(rows)
    tally = _Tally(GoldAnswers(answer_problems))
    while batch := list(islice(checked, _BATCH)):
        tally.add(batch)
    return tally.report(path, unit=format_of(path).unit)


def histogram(sizes: Counter[int]) -> Histogram | None:
    """Sort positive sizes, each with how often it was seen, by powers of two; None if there are none.

    Example: 3, 4 and 9 -> smallest 3, median 4, largest 9, counts {4: 2, 8: 0, 16: 1}
    """
    if not sizes:
        return None
    exponents: Counter[int] = Counter()
    for size, count in sizes.items():
        exponents[(size - 1).bit_length()] += count
    span = range(min(exponents), max(exponents) + 1)
    middle = median(sorted(sizes.elements()))
    return Histogram(min(sizes), middle, max(sizes), {2**exponent: exponents[exponent] for exponent in span})


def describe(report: Report) -> str:
    """The report as text: counts, histograms, rows worth a look, then every bad row with the fix."""
    answers, unit = report.answers, report.unit
    lines = [
        f"{report.file}: {report.num_good} good rows, {len(report.bad_rows)} bad",
        f"  demonstrations {report.num_demonstrations}, images {report.num_images}, repeated questions {len(report.repeated)}",
        f"  sources: {', '.join(f'{name} {count}' for name, count in report.sources.items()) or 'none'}",
        f"  answers: {answers.share:.1%} can be compared; {answers.num_present} given, {len(answers.missing)} missing, "
        f"{len(answers.problems)} that no reward can compare",
    ]
    for name, sizes in (("prompt tokens", report.prompt_tokens), ("image tokens", report.image_tokens)):
        lines += _histogram_lines(name, sizes) if sizes else []
    lines += _first_lines([f"{unit} {line}: asks the same as {unit} {first}" for line, first in report.repeated.items()])
    lines += _first_lines([f"{unit} {line}: no answer, samples will be invalid" for line in answers.missing])
    lines += _first_lines(
        [f"{unit} {line}: the answer cannot be compared, samples will be invalid: {why}" for line, why in answers.problems.items()]
    )
    if not report.num_good and not report.bad_rows:
        lines += ["  there is no row in it: give a file with rows"]
    for bad in report.bad_rows:
        lines += [f"  {unit} {bad.line}: {bad.kind}: {bad.reason}", f"    fix: {FIXES[bad.kind]}"]
    return "\n".join(lines)


class _Tally:
    """What is counted while the rows go by."""

    def __init__(self, gold: GoldAnswers) -> None:
        self._gold = gold
        self._num_demonstrations = self._num_images = self._num_present = 0
        self._sources: Counter[str] = Counter()
        self._prompt_tokens: Counter[int] = Counter()
        self._image_tokens: Counter[int] = Counter()
        self._bad_rows: list[BadRow] = []
        self._asked: dict[bytes, int] = {}
        self._repeated: dict[int, int] = {}
        self._missing: list[int] = []
        self._problems: dict[int, str] = {}

    def add(self, items: list[PreparedRecord | Record | BadRow]) -> None:
        """Count the next rows."""
        self._bad_rows += [item for item in items if isinstance(item, BadRow)]
        for entry in [item for item in items if isinstance(item, PreparedRecord)]:
            self._prompt_tokens[entry.prompt_length] += 1
            self._image_tokens.update(entry.image_tokens)
        rows = [item.row if isinstance(item, PreparedRecord) else item for item in items if not isinstance(item, BadRow)]
        self._sources.update([row.source for row in rows])
        self._num_demonstrations += sum([row.demonstration is not None for row in rows])
        self._num_images += sum([len(row.images) for row in rows])
        for row in rows:
            first = self._asked.setdefault(_question_digest(row), row.line)
            if first != row.line:
                self._repeated[row.line] = first
        self._add_answers(rows)

    def report(self, file: Path, *, unit: str) -> Report:
        """What was counted."""
        return Report(
            file=file,
            unit=unit,
            num_good=self._sources.total(),
            num_demonstrations=self._num_demonstrations,
            num_images=self._num_images,
            sources=dict(self._sources.most_common()),
            bad_rows=tuple(self._bad_rows),
            repeated=self._repeated,
            answers=Answers(self._num_present, tuple(self._missing), self._problems),
            prompt_tokens=histogram(self._prompt_tokens),
            image_tokens=histogram(self._image_tokens),
        )

    def _add_answers(self, rows: list[Record]) -> None:
        present = [(row.line, row.answer) for row in rows if row.answer is not None]
        problems = self._gold.problems([answer for _, answer in present])
        self._num_present += len(present)
        self._missing += [row.line for row in rows if row.answer is None]
        self._problems |= {line: problem for (line, _), problem in zip(present, problems, strict=True) if problem is not None}


def _question_digest(row: Record) -> bytes:
    """Equal for rows with the same turns and image references."""
    turns = [turn.role + "\1" + "\1".join(["\2" if part is None else part for part in turn.parts]) for turn in row.turns]
    return xxhash.xxh3_128_digest("\0".join([*turns, *row.images]).encode())


def _without_model(rows: Iterable[Record | BadRow], images: ImageChecks) -> Iterator[Record | BadRow]:
    for row in rows:
        yield row if isinstance(row, BadRow) else _checked_images(row, images)


def _checked_images(row: Record, images: ImageChecks) -> Record | BadRow:
    try:
        for reference in row.images:
            images.measure(reference)
    except ImageRefused as refusal:
        return row.refused("image", str(refusal))
    return row


def _first_lines(lines: list[str]) -> list[str]:
    """The first of many lines of one kind."""
    more = [f"  and {len(lines) - _SHOWN} more like the last"] if len(lines) > _SHOWN else []
    return [f"  {line}" for line in lines[:_SHOWN]] + more


def _histogram_lines(name: str, sizes: Histogram) -> list[str]:
    peak = max(sizes.counts.values())
    head = f"  {name}: {sizes.smallest} to {sizes.largest}, median {sizes.median:g}"
    return [head, *(f"    <= {bound:6d} {count:7d} {'#' * (_BAR * count // peak)}" for bound, count in sizes.counts.items())]
