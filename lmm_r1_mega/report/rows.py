"""Rows of a run's files as a report needs them: each checked, none kept in memory that is not shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmm_r1_mega.record.jsonl import checked_lines, damaged_line

SampleRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RowOffset:
    """Where a row stands in its file."""

    step: int
    start: int
    """Bytes before it."""


def checked_rows(file: Path) -> Iterator[SampleRow]:
    """The rows in their order.

    Raises:
        BadData: a line is no row of a step; the message has its number.
    """
    return (row for _, row in _placed(file))


def places(file: Path) -> list[RowOffset]:
    """Where every row of samples stands, all of them checked.

    Raises:
        BadData: a line is no row of samples.
    """
    found = []
    for number, (start, row) in enumerate(_placed(file), start=1):
        problem = _sample_problem(row)
        if problem:
            raise damaged_line(file, number, problem)
        found.append(RowOffset(row["step"], start))
    return found


def rows_at(file: Path, starts: list[int]) -> Iterator[SampleRow]:
    """The rows at these places, read when they are asked for."""
    if starts:
        with file.open("rb") as opened:
            for start in starts:
                opened.seek(start)
                yield json.loads(opened.readline())


def _placed(file: Path) -> Iterator[tuple[int, SampleRow]]:
    start = 0
    for line, row in checked_lines(file):
        yield start, row
        start += len(line)


def _sample_problem(row: SampleRow) -> str | None:
    """What is wrong with a row of samples, where the page relies on it."""
    parts, images = row.get("parts") or {}, row.get("images") or []
    if not isinstance(parts, dict) or not all(isinstance(part, int | float) for part in parts.values()):
        return "has `parts` that are no numbers by name"
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        return "has `images` that are no list of files"
    return None
