"""How tensors of a Hugging Face checkpoint become tensors of a Megatron model, and back.

A rule is a pure function of plain tensors and its inverse:

    to_megatron   Hugging Face tensors -> the whole Megatron tensor, as a distributed checkpoint stores it
    to_hf         the inverse
    shard         the whole Megatron tensor -> the part of one tensor-parallel rank
    unshard       the inverse, from the parts of all ranks in order
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Shaped
from torch import Tensor

from lmm_r1_mega.families.shape import ModelShape
from lmm_r1_mega.families.weights import TableRow


class WeightRule(Protocol):
    """One way of laying out a parameter: it moves rows of the first dimension, whole, and adds or drops rows of zeros."""

    @property
    def split_dim(self) -> int | None:
        """Dimension that tensor-parallel ranks split; None for a parameter that each of them has whole."""
        ...

    def to_megatron(self, parts: Sequence[Tensor]) -> Tensor: ...

    def to_hf(self, whole: Tensor) -> list[Tensor]: ...

    def shard(self, whole: Tensor, *, rank: int, size: int) -> Tensor: ...

    def unshard(self, shards: Sequence[Tensor]) -> Tensor: ...


@dataclass(frozen=True)
class Copy:
    """The same tensor on both sides, split along `split_dim` over tensor-parallel ranks or, with None, replicated."""

    split_dim: int | None = None

    def to_megatron(self, parts: Sequence[Tensor]) -> Tensor:
        (whole,) = parts
        return whole

    def to_hf(self, whole: Tensor) -> list[Tensor]:
        return [whole]

    def shard(self, whole: Tensor, *, rank: int, size: int) -> Tensor:
        return whole if self.split_dim is None else _chunk(whole, self.split_dim, rank, size)

    def unshard(self, shards: Sequence[Tensor]) -> Tensor:
        return shards[0] if self.split_dim is None else torch.cat(list(shards), dim=self.split_dim)


@dataclass(frozen=True)
class QKV:
    """Query, key and value projections (weights or biases), interleaved by key-value group.

    Example: 4 heads, 2 key-value heads -> rows q0 q1 k0 v0 | q2 q3 k1 v1
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    split_dim: int = 0

    def to_megatron(self, parts: Sequence[Tensor]) -> Shaped[Tensor, "qkv ..."]:
        query, key, value = parts
        rest = query.shape[1:]
        groups = [part.reshape(self.num_kv_heads, -1, *rest) for part in (query, key, value)]
        return torch.cat(groups, dim=1).reshape(-1, *rest)

    def to_hf(self, whole: Shaped[Tensor, "qkv ..."]) -> list[Tensor]:
        rest = whole.shape[1:]
        queries = self.num_heads // self.num_kv_heads * self.head_dim
        groups = whole.reshape(self.num_kv_heads, -1, *rest)
        return [part.reshape(-1, *rest) for part in groups.split([queries, self.head_dim, self.head_dim], dim=1)]

    def shard(self, whole: Tensor, *, rank: int, size: int) -> Tensor:
        return _chunk(whole, 0, rank, size)

    def unshard(self, shards: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(shards), dim=0)


@dataclass(frozen=True)
class GateUp:
    """Gate and up projections of a gated feed-forward layer, one above the other; each rank holds a part of both."""

    split_dim: int = 0

    def to_megatron(self, parts: Sequence[Tensor]) -> Tensor:
        gate, up = parts
        return torch.cat([gate, up], dim=0)

    def to_hf(self, whole: Tensor) -> list[Tensor]:
        return list(whole.chunk(2, dim=0))

    def shard(self, whole: Tensor, *, rank: int, size: int) -> Tensor:
        return torch.cat([_chunk(half, 0, rank, size) for half in whole.chunk(2, dim=0)], dim=0)

    def unshard(self, shards: Sequence[Tensor]) -> Tensor:
        halves = [shard.chunk(2, dim=0) for shard in shards]
        return torch.cat([gate for gate, _ in halves] + [up for _, up in halves], dim=0)


@dataclass(frozen=True)
class Vocab:
    """A table with a row for each word, padded with zeros from `size` to `padded_size` words."""

    size: int
    padded_size: int
    split_dim: int = 0

    def to_megatron(self, parts: Sequence[Tensor]) -> Tensor:
        (words,) = parts
        if self.padded_size == self.size:
            return words
        return torch.cat([words, words.new_zeros(self.padded_size - self.size, *words.shape[1:])], dim=0)

    def to_hf(self, whole: Tensor) -> list[Tensor]:
        return [whole[: self.size]]

    def shard(self, whole: Tensor, *, rank: int, size: int) -> Tensor:
        return _chunk(whole, 0, rank, size)

    def unshard(self, shards: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(shards), dim=0)


def rule_of(row: TableRow, shape: ModelShape, *, padded_vocab: int) -> WeightRule:
    """The rule of a row of a family's table, for a model of this shape."""
    rules: dict[str, WeightRule] = {
        "copy": Copy(row.split_dim),
        "qkv": QKV(shape.num_heads, shape.num_kv_heads, shape.head_dim),
        "gate_up": GateUp(),
        "vocab": Vocab(shape.vocab_size, padded_vocab),
    }
    return rules[row.arrangement]


def _chunk(tensor: Tensor, dim: int, rank: int, size: int) -> Tensor:
    length = tensor.shape[dim]
    if length % size:
        raise ValueError(f"layout.tensor {size} does not divide {length} rows of a weight: choose a divisor")
    return tensor.narrow(dim, rank * (length // size), length // size)
