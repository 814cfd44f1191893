"""Which sequence goes into which row of which data-parallel rank."""

from __future__ import annotations

import math
from collections.abc import Sequence as Items

import numpy as np


def assign_rows(lengths: Items[int], costs: Items[float], *, budget: int, num_ranks: int) -> list[list[list[int]]]:
    """Share sequences out over ranks and rows: the same number of rows on every rank, as few as the budget allows, work balanced.

    `lengths` are places of a row (`sharing.num_places`), `costs` any measure of work, `budget` the places of one row. The result
    is rank -> rows -> indices into `lengths`. A row may be empty where there are too few sequences. The same input gives the
    same result on every machine.

    Example: lengths = costs = [6, 4, 3, 3], budget 8, 2 ranks -> [[[0], [3]], [[1], [2]]], 9 and 7 places

    Raises: ValueError where a sequence is longer than the budget.
    """
    if len(lengths) != len(costs):
        raise ValueError(f"{len(lengths)} lengths and {len(costs)} costs: give one of each a sequence")
    longest = max(lengths, default=0)
    if longest > budget:
        raise ValueError(
            f"a sequence takes {longest} places and layout.row_tokens is {budget}: raise layout.row_tokens, "
            f"or lower data.max_prompt_tokens or rollout.max_response_tokens"
        )
    packed = _first_fit(lengths, budget)
    num_rows = num_ranks * max(1, math.ceil(len(packed) / num_ranks))
    rows = _spread(lengths, costs, budget=budget, num_rows=num_rows) or packed + [[] for _ in range(num_rows - len(packed))]
    return _deal(rows, costs, num_ranks)


def _first_fit(lengths: Items[int], budget: int) -> list[list[int]]:
    """Close to the fewest rows: longest first, each into the first row with room."""
    rows: list[list[int]] = []
    room = np.full(len(lengths), budget)
    for index in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        row = int(np.argmax(room >= lengths[index]))
        if row == len(rows):
            rows.append([])
        rows[row].append(index)
        room[row] -= lengths[index]
    return rows


def _spread(lengths: Items[int], costs: Items[float], *, budget: int, num_rows: int) -> list[list[int]] | None:
    """Even work over a given number of rows: costliest first, each into the cheapest row with room; None where one finds none."""
    rows: list[list[int]] = [[] for _ in range(num_rows)]
    room = np.full(num_rows, budget)
    load = np.zeros(num_rows)
    for index in np.argsort(-np.asarray(costs), kind="stable").tolist():
        candidates = np.where(room >= lengths[index], load, np.inf)
        row = int(np.argmin(candidates))
        if math.isinf(candidates[row]):
            return None
        rows[row].append(index)
        room[row] -= lengths[index]
        load[row] += costs[index]
    return rows


def _deal(rows: list[list[int]], costs: Items[float], num_ranks: int) -> list[list[list[int]]]:
    """Equal numbers of rows for the ranks: costliest row first, each to the least loaded rank with a free place."""
    per_rank = len(rows) // num_ranks
    loads = [sum(costs[index] for index in row) for row in rows]
    ranks: list[list[list[int]]] = [[] for _ in range(num_ranks)]
    rank_loads = [0.0] * num_ranks
    for position in sorted(range(len(rows)), key=lambda at: -loads[at]):
        rank = min((rank for rank in range(num_ranks) if len(ranks[rank]) < per_rank), key=lambda rank: rank_loads[rank])
        ranks[rank].append(sorted(rows[position]))
        rank_loads[rank] += loads[position]
    return ranks
