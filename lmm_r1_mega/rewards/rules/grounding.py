"""Boxes and points in an answer, compared with the boxes of the gold answer.

A box is `[x1, y1, x2, y2]`, a point `[x, y]`, in round or square brackets, alone, in a list, or inside JSON as Qwen2.5-VL writes it:
`{"bbox_2d": [x1, y1, x2, y2], "label": "cat"}`, `{"point_2d": [x, y]}`. Text around the numbers is not read. Gold boxes must
be in the coordinates that the model is asked for: for Qwen2.5-VL pixels of the resized image.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

Point = tuple[float, float]
Box = tuple[float, float, float, float]

NUMBER = r"\s*([-+]?\d{1,9}(?:\.\d*)?)\s*"
POINT = re.compile(rf"[\[(]{NUMBER},{NUMBER}[\])]")
BOX = re.compile(rf"[\[(]{NUMBER},{NUMBER},{NUMBER},{NUMBER}[\])]")


def boxes_in(text: str) -> list[Box]:
    """Every box of a text, in order; one without area (x2 <= x1 or y2 <= y1) covers nothing but is counted."""
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in _numbers(BOX, text)]


def points_in(text: str) -> list[Point]:
    """Every point of a text, in order; without one, the middles of its boxes."""
    points = [(x, y) for x, y in _numbers(POINT, text)]
    return points or [((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in boxes_in(text)]


def _numbers(shape: re.Pattern[str], text: str) -> list[list[float]]:
    return [[float(number) for number in match.groups()] for match in shape.finditer(text)]


def area(box: Box) -> float:
    """0 for a box without area."""
    x1, y1, x2, y2 = box
    return max(0.0, x2 - x1) * max(0.0, y2 - y1)


def iou(a: Box, b: Box) -> float:
    """Intersection over union; 0 if either has no area.

    Example: [0, 0, 2, 2] and [1, 0, 3, 2] share 2 of 6: 1/3.
    """
    shared = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    return shared / (area(a) + area(b) - shared) if shared else 0.0


def contains(box: Box, point: Point) -> bool:
    """Whether a point lies in a box or on its edge."""
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def mean_iou(boxes: Sequence[Box], gold: Sequence[Box]) -> float:
    """Sum of the IoU of the best pairs, over the larger number of boxes: a box too many or too few costs its share."""
    return _matched([[iou(gold_box, box) for box in boxes] for gold_box in gold])


def share_hit(points: Sequence[Point], gold: Sequence[Box]) -> float:
    """Boxes that have a point of their own, over the larger number of boxes and points."""
    return _matched([[float(contains(box, point)) for point in points] for box in gold])


def _matched(values: list[list[float]]) -> float:
    """Largest sum of one-to-one pairs, over the longer side of the table."""
    if not values or not values[0]:
        return 0.0
    if len(values) > len(values[0]):
        values = [list(column) for column in zip(*values, strict=True)]
    return best_pairing(values) / len(values[0])


def best_pairing(values: Sequence[Sequence[float]]) -> float:
    """Largest sum with one entry of each row, no two in a column; needs at least as many columns as rows.

    The Hungarian method by shortest paths: rows get their column one after another, each the one that costs the rows before it least.
    """
    row_at: list[int | None] = [None] * len(values[0])
    price = [0.0] * len(values[0])
    for row in range(len(values)):
        _seat(row, values, row_at, price)
    return sum(values[row][column] for column, row in enumerate(row_at) if row is not None)


def _seat(row: int, values: Sequence[Sequence[float]], row_at: list[int | None], price: list[float]) -> None:
    """Gives `row` a column, moving rows along the cheapest path to a free one; prices keep every seated row at its best column."""
    distance, came_from = [math.inf] * len(price), [-1] * len(price)
    free, passed = set(range(len(price))), []
    column, mover, start = -1, row, 0.0
    while True:
        for j in free:
            step = start - values[mover][j] - price[j]
            if step < distance[j]:
                distance[j], came_from[j] = step, column
        column = min(free, key=distance.__getitem__)
        free.remove(column)
        seated = row_at[column]
        if seated is None:
            break
        passed.append(column)
        mover, start = seated, distance[column] + values[seated][column] + price[column]
    for j in passed:
        price[j] += distance[j] - distance[column]
    while column >= 0:
        before = came_from[column]
        row_at[column] = row_at[before] if before >= 0 else row
        column = before
