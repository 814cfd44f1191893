"""Numbers of many samples end to end: how they are kept and sent.

A short tensor by itself takes 0.3 ms to pickle and to load, and as a view of a longer one it drags all of that along. A column is two
arrays however many samples it holds, and Ray passes arrays without copying them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Column:
    """One-dimensional tensors of unlike lengths, one after the other.

    Example: [7, 8] and [9] -> values [7, 8, 9], lengths [2, 1]
    """

    values: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, tensors: Iterable[Shaped[Tensor, "_"]]) -> Column:
        """The inverse of `cut`; a column of no tensors is of float32."""
        given = list(tensors)
        values = torch.cat(given) if given else torch.zeros(0)
        return cls(values.numpy(), np.array([len(tensor) for tensor in given], dtype=np.int64))

    def cut(self) -> list[Shaped[Tensor, "_"]]:
        """The tensors, as views of the column, which are for reading and not for sending."""
        return list(as_tensor(self.values).split(self.lengths.tolist()))


def as_tensor(array: np.ndarray) -> Tensor:
    """The array's own memory as a tensor. That of Ray's store is read-only: nobody may write into it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
