"""Metrics of a run as curves that a page has room for, and their beginning and end in a few numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean

from lmm_r1_mega.report.rows import SampleRow

CurvePoint = tuple[int, float | None]
"""Step and value; None for a value that is not finite."""
TAIL = 5
"""Points at either end of a curve whose mean tells where it began and where it is."""
DIGITS = 5


def points_by_name(rows: Iterable[SampleRow]) -> dict[str, list[CurvePoint]]:
    """Steps and values of each metric."""
    found: dict[str, list[CurvePoint]] = {}
    for row in rows:
        for name, value in row.items():
            if name != "step" and isinstance(value, int | float):
                found.setdefault(name, []).append((row["step"], _rounded(value)))
    return found


def thinned(points: Sequence[CurvePoint], max_points: int) -> list[CurvePoint]:
    """About `max_points` of them at most: the first and the last, and of each stretch between them its least, its greatest and a gap.

    Example: values 1 9 2 3 0 4 5 with room for 5 -> 1 9 0 5
    """
    if len(points) <= max_points:
        return list(points)
    first, *inner, last = points
    length = math.ceil(len(inner) / max(1, (max_points - 2) // 3))
    stretches = (inner[start : start + length] for start in range(0, len(inner), length))
    return [first, *(point for stretch in stretches for point in _marks(stretch)), last]


def course(points: Sequence[CurvePoint], *, tail: int = TAIL) -> tuple[float, float] | None:
    """Mean of the first and of the last points; None where no value is finite.

    Example: values 1 3 2 and tail 2 -> (2, 2.5)
    """
    values = [value for _, value in points if value is not None]
    return (fmean(values[:tail]), fmean(values[-tail:])) if values else None


def highest(points: Sequence[CurvePoint]) -> CurvePoint | None:
    """Step and value of the greatest value, the first of equal ones; None where no value is finite."""
    return max(((step, value) for step, value in points if value is not None), key=lambda point: point[1], default=None)


def _marks(stretch: Sequence[CurvePoint]) -> list[CurvePoint]:
    """The points of a stretch that have to be seen, in their order."""
    finite = [(value, step) for step, value in stretch if value is not None]
    kept: set[CurvePoint] = {(step, value) for value, step in (min(finite), max(finite))} if finite else set()
    gap = next((point for point in stretch if point[1] is None), None)
    return sorted(kept | ({gap} if gap else set()), key=lambda point: point[0])


def _rounded(value: float) -> float | None:
    try:
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    except OverflowError:  # an integer that no float holds
        return None
