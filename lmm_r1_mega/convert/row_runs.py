"""Rules of the conversion table as what they are: moves of rows, which a file copy can do."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lmm_r1_mega.convert.rules import WeightRule


@dataclass(frozen=True)
class RowRun:
    """Rows of one Hugging Face tensor that are neighbors, in the same order, in the whole Megatron tensor."""

    part: int
    """Which of the rule's Hugging Face tensors."""
    part_row: int
    whole_row: int
    num_rows: int


def row_runs(rule: WeightRule, part_rows: Sequence[int]) -> list[RowRun]:
    """The runs that the whole tensor of `rule` consists of, in its order, for parts of so many rows; padding is in none.

    Example: QKV with 2 heads in 2 groups of dimension 1, rows (2, 2, 2) -> q0 k0 v0 q1 k1 v1, six runs of one row
    """
    starts = [1 + sum(part_rows[:part]) + part for part in range(len(part_rows))]  # 0 is padding; a gap between parts ends a run
    order = rule.to_megatron([torch.arange(start, start + rows) for start, rows in zip(starts, part_rows, strict=True)])
    firsts = [0, *((order.diff() != 1).nonzero().flatten() + 1).tolist()]
    runs = []
    for first, end in zip(firsts, [*firsts[1:], len(order)], strict=True):
        number = int(order[first])
        if number:
            part = bisect_right(starts, number) - 1
            runs.append(RowRun(part, number - starts[part], first, end - first))
    return runs
