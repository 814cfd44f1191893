"""Attention inside packed microbatches: no token sees another sequence.

Sequences of similar length share one call, padded to the longest of them. Padding stands after the real tokens, so the
causal mask alone keeps it out and no mask tensor is built. A prompt that several sequences of the microbatch share is put before each.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cached_property
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
    """How the tokens of a microbatch move to padded batches of whole sequences and back.

    Slots are the positions of the batches. A borrowed prompt fills slots of every sequence that uses it; what attention says about it is
    taken from the sequence that lends it.
    """

    batches: tuple[tuple[int, int], ...]
    """Sequences and padded length of each batch; the batches lie end to end."""
    positions: Int[Tensor, "slots"]
    """Place in the microbatch that each slot takes its token from; padding takes its sequence's first."""
    is_own: Bool[Tensor, "slots"]
    """True where a slot is the one that its position is read from again; false for padding and borrowed prompts."""
    slots: Int[Tensor, "tokens"]
    """Slot of each token of the micro-batch."""
    is_shared: bool
    """Whether any prompt is borrowed."""


@dataclass(frozen=True)
class SequenceSpan:
    """Where a sequence's tokens are in the micro-batch: a borrowed prompt, perhaps of no tokens, then its own positions."""

    prompt_start: int
    prompt_length: int
    start: int
    stop: int

    @property
    def length(self) -> int:
        """Tokens of the whole sequence."""
        return self.prompt_length + self.stop - self.start


@dataclass
class PackedSequences(PackedSeqParams):
    """A microbatch's sequences as megatron.core hands them down to attention.

    `qkv_format` is not "thd": rotary embeddings are then applied token by token from M-RoPE positions, where
    megatron.core's packed path would count positions of its own. `cu_seqlens` are of whole sequences, borrowed prompts included.
    """

    spans: list[SequenceSpan] = field(kw_only=True)
    device: torch.device = field(kw_only=True)

    @cached_property
    def padding(self) -> Padding:
        """Sequences of similar length padded to batches."""
        return plan_padding(self.spans, group_by_length([span.length for span in self.spans]), self.device)

    @cached_property
    def whole(self) -> Padding:
        """Sequences end to end in their order, without padding."""
        return plan_padding(self.spans, [[index] for index in range(len(self.spans))], self.device)


def describe_packing(starts: Int[Tensor, "sequences+1"], borrowed: Int[Tensor, "sequences 2"], device: torch.device) -> PackedSequences:
    """What attention has to know of a micro-batch with the given `sequence_starts` and `borrowed` prompts."""
    own = itertools.pairwise(starts.tolist())
    spans = [SequenceSpan(first, count, start, stop) for (first, count), (start, stop) in zip(borrowed.tolist(), own, strict=True)]
    lengths = [span.length for span in spans]
    cu_seqlens = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32, device=device)
    return PackedSequences(
        qkv_format="sbhd",
        cu_seqlens_q=cu_seqlens,
        cu_seqlens_kv=cu_seqlens,
        max_seqlen_q=max(lengths),
        max_seqlen_kv=max(lengths),
        spans=spans,
        device=device,
    )


def group_by_length(lengths: list[int]) -> list[list[int]]:
    """Indices of sequences grouped so that padding to a group's longest wastes at most a quarter of it, or 32 tokens.

    Example: lengths [60, 50, 1000] -> [[2], [0, 1]]
    """
    groups: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if not groups or longest - lengths[index] > max(_MIN_SLACK, longest // 4):
            groups.append([])
            longest = lengths[index]
        groups[-1].append(index)
    return groups


def plan_padding(spans: list[SequenceSpan], groups: list[list[int]], device: torch.device) -> Padding:
    """Padded batches, one a group of sequences."""
    positions, is_own, batches = [], [], []
    for group in groups:
        longest = max(spans[index].length for index in group)
        step = torch.arange(longest)
        for span in (spans[index] for index in group):
            prompt, own = step < span.prompt_length, (step >= span.prompt_length) & (step < span.length)
            first = span.prompt_start if span.prompt_length else span.start
            position = torch.where(own, step - span.prompt_length + span.start, first)
            positions.append(torch.where(prompt, step + span.prompt_start, position))
            is_own.append(own)
        batches.append((len(group), longest))
    position, owned = torch.cat(positions), torch.cat(is_own)
    slots = torch.empty(spans[-1].stop, dtype=torch.long)
    slots[position[owned]] = owned.nonzero()[:, 0]
    is_shared = any(span.prompt_length for span in spans)
    return Padding(tuple(batches), position.to(device), owned.to(device), slots.to(device), is_shared)


class PackedAttention(torch.nn.Module):
    """megatron.core's core attention for packed microbatches, computed by PyTorch's fused kernels."""

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
        packed_seq_params: PackedSequences,
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
    """Row to padded batches.

    Padding needs no gradient: only padded queries attend to it, and their result is dropped. A borrowed prompt gets the sum of the
    gradients of all who use it.
    """

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, padding: Padding) -> Tensor:
        ctx.padding = padding
        return tokens.index_select(0, padding.positions)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        padding = ctx.padding
        if not padding.is_shared:
            return grad.index_select(0, padding.slots), None
        gathered = grad.new_zeros(len(padding.slots), *grad.shape[1:])
        return gathered.index_add_(0, padding.positions, grad), None


class _Unpad(torch.autograd.Function):
    """Padded batches to micro-batch: the inverse of `_Pad`."""

    @staticmethod
    def forward(ctx: Any, slots: Tensor, padding: Padding) -> Tensor:
        ctx.padding = padding
        return slots.index_select(0, padding.slots)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        spread = grad.index_select(0, ctx.padding.positions)
        return spread * ctx.padding.is_own[:, None], None
