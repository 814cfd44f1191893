"""A look at a data file before any device is spent on it: `data check FILE`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.images import ImageLimits, ImageRefused, load_image, locate_image
from lmm_r1_mega.data.prepare import Entry, Preparer, image_limits
from lmm_r1_mega.data.processor import Processor
from lmm_r1_mega.data.prompts import Row, load_rows
from lmm_r1_mega.data.rows import FIXES, BadRow

Answer = str | int | float
AnswerProblems = Callable[[list[Answer | None]], list[str | None]]
"""For each gold answer what is wrong with it, or None."""

_BAR = 40  # letters of a histogram's longest bar


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

    given: int
    missing: tuple[int, ...]
    """Lines without one."""
    problems: dict[int, str]
    """Line -> why the reward could not compare anything with its answer; empty where nobody looked."""


@dataclass(frozen=True)
class Report:
    """All that is known about a data file."""

    file: Path
    num_good: int
    num_demonstrations: int
    num_images: int
    sources: dict[str, int]
    bad_rows: tuple[BadRow, ...]
    answers: Answers
    prompt_tokens: Histogram | None
    """Of expanded prompts; None where no row is good or no model was at hand."""
    image_tokens: Histogram | None
    """Of single images."""

    @property
    def is_clean(self) -> bool:
        """Whether every row can be used."""
        return not self.bad_rows


def check_file(path: Path, settings: DataSettings, processor: Processor | None, *, answer_problems: AnswerProblems | None = None) -> Report:
    """Read every row and decode every image; with a processor tokens are counted too.

    `answer_problems` knows which gold answers the rewards can use.

    Raises: ValueError where the file as a whole cannot be read.
    """
    rows = load_rows(path, settings, purpose="any")
    checked = list(_without_model(rows.good, path, settings) if processor is None else _with_model(rows.good, path, settings, processor))
    entries = [item for item in checked if isinstance(item, Entry)]
    good = [item.row if isinstance(item, Entry) else item for item in checked if not isinstance(item, BadRow)]
    bad = [*rows.bad, *(item for item in checked if isinstance(item, BadRow))]
    return Report(
        file=path,
        num_good=len(good),
        num_demonstrations=sum(row.demonstration is not None for row in good),
        num_images=sum(len(row.images) for row in good),
        sources=dict(Counter(row.source for row in good).most_common()),
        bad_rows=tuple(sorted(bad, key=lambda row: row.line)),
        answers=_answers(good, answer_problems),
        prompt_tokens=histogram([entry.prompt_length for entry in entries]),
        image_tokens=histogram([count for entry in entries for count in entry.image_tokens]),
    )


def histogram(sizes: list[int]) -> Histogram | None:
    """Count positive sizes by powers of two; None where there are none.

    Example: [3, 4, 9] -> smallest 3, median 4, largest 9, counts {4: 2, 8: 0, 16: 1}
    """
    if not sizes:
        return None
    exponents = Counter((size - 1).bit_length() for size in sizes)
    span = range(min(exponents), max(exponents) + 1)
    return Histogram(min(sizes), median(sizes), max(sizes), {2**exponent: exponents[exponent] for exponent in span})


def describe(report: Report) -> str:
    """The report as text: counts, histograms, then every bad row with what mends it."""
    answers = report.answers
    lines = [
        f"{report.file}: {report.num_good} good rows, {len(report.bad_rows)} bad",
        f"  demonstrations {report.num_demonstrations}, images {report.num_images}",
        f"  sources: {', '.join(f'{name} {count}' for name, count in report.sources.items()) or 'none'}",
        f"  answers: {answers.given} given, {len(answers.missing)} missing, {len(answers.problems)} that no reward can compare",
    ]
    for name, found in (("prompt tokens", report.prompt_tokens), ("image tokens", report.image_tokens)):
        lines += _histogram_lines(name, found) if found else []
    lines += [f"  line {line}: no answer, samples will be invalid" for line in answers.missing]
    lines += [f"  line {line}: the answer cannot be compared, samples will be invalid: {why}" for line, why in answers.problems.items()]
    for bad in report.bad_rows:
        lines += [f"  line {bad.line}: {bad.kind}: {bad.reason}", f"    mend it: {FIXES[bad.kind]}"]
    return "\n".join(lines)


def _with_model(rows: list[Row], path: Path, settings: DataSettings, processor: Processor) -> Iterator[Entry | BadRow]:
    return Preparer(processor, image_limits(path, settings), settings, max_tokens=None, decode=True).prepare(rows)


def _without_model(rows: list[Row], path: Path, settings: DataSettings) -> Iterator[Row | BadRow]:
    limits = image_limits(path, settings)
    refusals: dict[str, str | None] = {}
    for row in rows:
        for reference in row.images:
            if reference not in refusals:
                refusals[reference] = _refusal(reference, limits)
        reasons = [reason for reference in row.images if (reason := refusals[reference]) is not None]
        yield row.refused("image", reasons[0]) if reasons else row


def _refusal(reference: str, limits: ImageLimits) -> str | None:
    """Why an image cannot be used."""
    try:
        load_image(locate_image(reference, limits), limits)
    except ImageRefused as refusal:
        return str(refusal)
    return None


def _answers(rows: list[Row], answer_problems: AnswerProblems | None) -> Answers:
    given = [row for row in rows if row.answer is not None]
    found = [None] * len(given) if answer_problems is None else answer_problems([row.answer for row in given])
    return Answers(
        given=len(given),
        missing=tuple(row.line for row in rows if row.answer is None),
        problems={row.line: problem for row, problem in zip(given, found, strict=True) if problem is not None},
    )


def _histogram_lines(name: str, found: Histogram) -> list[str]:
    peak = max(found.counts.values())
    head = f"  {name}: {found.smallest} to {found.largest}, median {found.median:g}"
    return [head, *(f"    <= {bound:6d} {count:7d} {'#' * (_BAR * count // peak)}" for bound, count in found.counts.items())]
