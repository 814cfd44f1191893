"""Attention inside packed rows: no token sees another sequence.

Sequences of similar length share one call, padded to the longest of them. Padding stands after the real tokens, so the
causal mask alone keeps it out and no mask tensor is built.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from megatron.core.packed_seq_params import PackedSeqParams
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor

_MIN_SLACK = 32
"""Tokens of padding that cost less than another call."""


@dataclass(frozen=True)
class Padding:
    """How the tokens of a row move to padded batches and back; both ways are gathers."""

    batches: tuple[tuple[int, int], ...]
    """Sequences and padded length of each batch; the batches lie end to end."""
    places: Int[Tensor, "slots"]
    """Place in the row that each slot takes its token from; padding takes its sequence's first."""
    is_real: Bool[Tensor, "slots"]
    """False where a slot is padding."""
    slots: Int[Tensor, "tokens"]
    """Slot of each token of the row."""


@dataclass
class PackedRow(PackedSeqParams):
    """A row's sequences as megatron.core hands them down to attention.

    `qkv_format` is not "thd": rotary embeddings are then applied token by token from M-RoPE positions, where
    megatron.core's packed path would count positions of its own.
    """

    padding: Padding = field(kw_only=True)


def describe_row(starts: Int[Tensor, "sequences+1"], device: torch.device) -> PackedRow:
    """What attention has to know of a row with the given `sequence_starts`."""
    bounds = starts.tolist()
    longest = max(stop - start for start, stop in itertools.pairwise(bounds))
    cu_seqlens = starts.to(device=device, dtype=torch.int32)
    return PackedRow(
        qkv_format="sbhd",
        cu_seqlens_q=cu_seqlens,
        cu_seqlens_kv=cu_seqlens,
        max_seqlen_q=longest,
        max_seqlen_kv=longest,
        padding=plan_padding(bounds, device),
    )


def group_by_length(bounds: list[int]) -> list[list[int]]:
    """Indices of sequences grouped so that padding to a group's longest wastes at most a quarter of it, or 32 tokens.

    Example: bounds [0, 60, 110, 1110] -> [[2], [0, 1]]
    """
    lengths = [stop - start for start, stop in itertools.pairwise(bounds)]
    groups: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if not groups or longest - lengths[index] > max(_MIN_SLACK, longest // 4):
            groups.append([])
            longest = lengths[index]
        groups[-1].append(index)
    return groups


def plan_padding(bounds: list[int], device: torch.device) -> Padding:
    """Padding of a row whose sequence i is `bounds[i]:bounds[i + 1]`."""
    start, stop = torch.tensor(bounds[:-1]), torch.tensor(bounds[1:])
    places, is_real, batches = [], [], []
    for group in group_by_length(bounds):
        first, last = start[group, None], stop[group, None]
        step = torch.arange(int((last - first).max()))
        real = first + step < last
        places.append(torch.where(real, first + step, first).flatten())
        is_real.append(real.flatten())
        batches.append((len(group), len(step)))
    place, real = torch.cat(places), torch.cat(is_real)
    slots = torch.empty(bounds[-1], dtype=torch.long)
    slots[place[real]] = torch.arange(len(place))[real]
    return Padding(tuple(batches), place.to(device), real.to(device), slots.to(device))


class PackedAttention(torch.nn.Module):
    """megatron.core's core attention for packed rows, computed by PyTorch's fused kernels."""

    def __init__(self, config: TransformerConfig, **_: Any) -> None:
        super().__init__()
        self.scale = config.softmax_scale

    def forward(
        self,
        query: Float[Tensor, "tokens 1 heads dim"],
        key: Float[Tensor, "tokens 1 groups dim"],
        value: Float[Tensor, "tokens 1 groups dim"],
        attention_mask: None,
        *,
        packed_seq_params: PackedRow,
        **_: Any,
    ) -> Float[Tensor, "tokens 1 heads*dim"]:
        padding = packed_seq_params.padding
        padded = [_split(_Pad.apply(part[:, 0], padding), padding) for part in (query, key, value)]
        attended = torch.cat([self._attend(*batch) for batch in zip(*padded, strict=True)])
        return _Unpad.apply(attended, padding)[:, None]

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Float[Tensor, "slots heads*dim"]:
        attended = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=self.scale, enable_gqa=query.shape[1] != key.shape[1]
        )
        return attended.transpose(1, 2).flatten(2).flatten(0, 1)


def _split(slots: Float[Tensor, "slots heads dim"], padding: Padding) -> list[Float[Tensor, "sequences heads longest dim"]]:
    parts = slots.split([count * longest for count, longest in padding.batches])
    return [part.unflatten(0, batch).transpose(1, 2) for part, batch in zip(parts, padding.batches, strict=True)]


class _Pad(torch.autograd.Function):
    """Row to padded batches. Padding needs no gradient: only padded queries attend to it, and their result is dropped."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, padding: Padding) -> Tensor:
        ctx.slots = padding.slots
        return tokens.index_select(0, padding.places)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad.index_select(0, ctx.slots), None


class _Unpad(torch.autograd.Function):
    """Padded batches to row: the inverse of `_Pad`."""

    @staticmethod
    def forward(ctx: Any, slots: Tensor, padding: Padding) -> Tensor:
        ctx.padding = padding
        return slots.index_select(0, padding.slots)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        spread = grad.index_select(0, ctx.padding.places)
        return spread * ctx.padding.is_real[:, None], None
