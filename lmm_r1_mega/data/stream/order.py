"""Which row comes when: a function of the seed and a counter, so a position is two numbers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Int

_BLOCK = 4096  # visits whose pools are drawn together
_POOLS, _ROWS = 0, 1  # streams of random numbers


class Order:
    """Endless visits of the rows of several pools.

    With one pool every epoch visits each row once. With several, each visit draws a pool by its weight, and each pool is gone
    through in epochs of its own. The same seed gives the same visits, wherever one starts.
    """

    def __init__(self, sizes: tuple[int, ...], *, weights: tuple[float, ...], seed: int, shuffle: bool) -> None:
        if len(sizes) != len(weights) or min(sizes, default=0) < 1:
            raise ValueError(f"pools of {sizes} rows with the weights {weights}: every pool needs a row and a weight")
        self._sizes = sizes
        self._bounds = np.cumsum(weights) / sum(weights)
        self._seed = seed
        self._shuffle = shuffle
        self._counts = [np.zeros(len(sizes), dtype=np.int64)]
        self._permutation = lru_cache(maxsize=2 * len(sizes))(self._draw_permutation)
        self._pools = lru_cache(maxsize=2)(self._draw_pools)

    def visit(self, number: int) -> tuple[int, int]:
        """Pool and row in the pool of the visit with this number, from 0."""
        block, offset = divmod(number, _BLOCK)
        pools = self._pools(block)
        pool = int(pools[offset])
        earlier = int(self._counts_before(block)[pool]) + int((pools[:offset] == pool).sum())
        epoch, index = divmod(earlier, self._sizes[pool])
        return pool, int(self._permutation(pool, epoch)[index]) if self._shuffle else index

    def _counts_before(self, block: int) -> Int[np.ndarray, "pools"]:
        """Visits of each pool before a block."""
        while len(self._counts) <= block:
            pools = self._draw_pools(len(self._counts) - 1)
            self._counts.append(self._counts[-1] + np.bincount(pools, minlength=len(self._sizes)))
        return self._counts[block]

    def _draw_pools(self, block: int) -> Int[np.ndarray, "visits"]:
        if len(self._sizes) == 1:
            return np.zeros(_BLOCK, dtype=np.int64)
        draws = np.random.default_rng([self._seed, _POOLS, block]).random(_BLOCK)
        return np.minimum(np.searchsorted(self._bounds, draws, side="right"), len(self._sizes) - 1)

    def _draw_permutation(self, pool: int, epoch: int) -> Int[np.ndarray, "rows"]:
        return np.random.default_rng([self._seed, _ROWS, epoch, pool]).permutation(self._sizes[pool])
