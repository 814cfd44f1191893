"""Which sequence goes into which micro-batch of which data-parallel rank."""

from __future__ import annotations

import math
from collections.abc import Sequence as Items

import numpy as np


def assign_microbatches(lengths: Items[int], costs: Items[float], *, budget: int, num_ranks: int) -> list[list[list[int]]]:
    """Distribute sequences over ranks and micro-batches: equally many per rank, as few as the budget allows, balanced by cost.

    `lengths` are the packed lengths of the sequences, `costs` any measure of work, `budget` the tokens of one micro-batch. Returns
    rank -> micro-batches -> indices into `lengths`. With too few sequences some micro-batches are empty. The same input gives the same
    result on every machine.

    Example: lengths = costs = [6, 4, 3, 3], budget 8, 2 ranks -> [[[0], [3]], [[1], [2]]], costs 9 and 7

    Raises: ValueError if a sequence is longer than the budget.
    """
    if len(lengths) != len(costs):
        raise ValueError(f"{len(lengths)} lengths and {len(costs)} costs: give one of each a sequence")
    longest = max(lengths, default=0)
    if longest > budget:
        raise ValueError(
            f"a sequence takes {longest} positions and layout.max_tokens_per_microbatch is {budget}: raise it, "
            f"or lower data.max_prompt_tokens or rollout.max_response_tokens"
        )
    packed = _first_fit(lengths, budget)
    num_microbatches = num_ranks * max(1, math.ceil(len(packed) / num_ranks))
    microbatches = _spread(lengths, costs, budget=budget, num_microbatches=num_microbatches) or packed + [
        [] for _ in range(num_microbatches - len(packed))
    ]
    return _deal(microbatches, costs, num_ranks)


def _first_fit(lengths: Items[int], budget: int) -> list[list[int]]:
    """Close to the fewest micro-batches: longest sequence first, each into the first one with room."""
    microbatches: list[list[int]] = []
    room = np.full(len(lengths), budget)
    for index in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        microbatch = int(np.argmax(room >= lengths[index]))
        if microbatch == len(microbatches):
            microbatches.append([])
        microbatches[microbatch].append(index)
        room[microbatch] -= lengths[index]
    return microbatches


def _spread(lengths: Items[int], costs: Items[float], *, budget: int, num_microbatches: int) -> list[list[int]] | None:
    """Costliest sequence first, each into the cheapest of the micro-batches with room; None if one finds no room."""
    microbatches: list[list[int]] = [[] for _ in range(num_microbatches)]
    room = np.full(num_microbatches, budget)
    load = np.zeros(num_microbatches)
    for index in np.argsort(-np.asarray(costs), kind="stable").tolist():
        candidates = np.where(room >= lengths[index], load, np.inf)
        microbatch = int(np.argmin(candidates))
        if math.isinf(candidates[microbatch]):
            return None
        microbatches[microbatch].append(index)
        room[microbatch] -= lengths[index]
        load[microbatch] += costs[index]
    return microbatches


def _deal(microbatches: list[list[int]], costs: Items[float], num_ranks: int) -> list[list[list[int]]]:
    """Equal numbers of micro-batches for the ranks: costliest micro-batch first, each to the least loaded rank with a free position."""
    per_rank = len(microbatches) // num_ranks
    loads = [sum(costs[index] for index in microbatch) for microbatch in microbatches]
    ranks: list[list[list[int]]] = [[] for _ in range(num_ranks)]
    rank_loads = [0.0] * num_ranks
    for position in sorted(range(len(microbatches)), key=lambda at: -loads[at]):
        rank = min((rank for rank in range(num_ranks) if len(ranks[rank]) < per_rank), key=lambda rank: rank_loads[rank])
        ranks[rank].append(sorted(microbatches[position]))
        rank_loads[rank] += loads[position]
    return ranks
