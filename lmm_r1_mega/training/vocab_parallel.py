"""Log-probability and entropy of a token over a vocabulary that is split over ranks, in chunks of tokens.

A full float32 log-softmax of a long microbatch would be larger than the model's activations, so both directions go over the tokens in
chunks and backward recomputes the probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor

OUT_OF_REACH = -1e30  # its exponential is 0, and 0 x it is still 0
CHUNK_ELEMENTS = {"cpu": 2**20, "cuda": 2**26}
"""Numbers of a chunk by kind of device: on a CPU it stays in a core's cache, on a GPU it is large enough to keep the whole chip at work."""


@dataclass(frozen=True)
class VocabShard:
    """The columns of the vocabulary that this rank holds."""

    start: int
    """Token id of the first column."""
    size: int
    """Columns that are real tokens; the rest of the shard is padding and never gets probability."""
    group: dist.ProcessGroup | None
    """Ranks that hold the other columns; None where the vocabulary is whole."""
    forbidden: tuple[int, ...] = ()
    """Columns of tokens that may not be sampled: they get no probability either."""


class TokenScores(NamedTuple):
    """Of one distribution a token, at the sampling temperature."""

    logprobs: Float[Tensor, "tokens"]
    entropy: Float[Tensor, "tokens"]


def vocab_shard(
    *, rank: int, width: int, vocab_size: int, group: dist.ProcessGroup | None, forbidden_ids: tuple[int, ...] = ()
) -> VocabShard:
    """The shard of `rank` when each rank holds `width` columns and the first `vocab_size` columns of all are real tokens.

    `forbidden_ids` are tokens of the whole vocabulary that the policy may not sample.

    Example: width 384, vocab_size 512 -> rank 0 holds tokens 0..383, rank 1 tokens 384..511 and 256 columns of padding.
    """
    start = rank * width
    size = min(max(vocab_size - start, 0), width)
    forbidden = tuple(token - start for token in forbidden_ids if start <= token < start + size)
    return VocabShard(start=start, size=size, group=group, forbidden=forbidden)


def token_scores(
    logits: Float[Tensor, "tokens columns"],
    labels: Int[Tensor, "tokens"],
    *,
    shard: VocabShard,
    temperature: float,
) -> TokenScores:
    """Log-probability of `labels[i]` and entropy, both in nats and float32, under softmax(logits[i] / temperature).

    Differentiable in `logits`. Every rank of `shard.group` calls it with the same labels and gets the same result.
    """
    logprobs, entropy = _TokenScores.apply(logits, labels, shard, temperature)
    return TokenScores(logprobs, entropy)


class _TokenScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, shard: VocabShard, temperature: float) -> tuple[Tensor, Tensor]:
        logprobs = logits.new_empty(len(labels), dtype=torch.float32)
        entropy, log_total = torch.empty_like(logprobs), torch.empty_like(logprobs)
        for part in _chunks(len(labels), logits.shape[1], logits.device):
            scaled = _scaled(logits[part], shard, temperature)
            logprobs[part], entropy[part], log_total[part] = _chunk_scores(scaled, labels[part], shard)
        ctx.save_for_backward(logits, labels, entropy, log_total)
        ctx.shard, ctx.temperature = shard, temperature
        ctx.set_materialize_grads(False)
        return logprobs, entropy

    @staticmethod
    def backward(ctx: Any, logprob_grad: Tensor | None, entropy_grad: Tensor | None) -> tuple[Tensor | None, None, None, None]:
        logits, labels, entropy, log_total = ctx.saved_tensors
        gradient = torch.zeros_like(logits)
        for part in _chunks(len(labels), logits.shape[1], logits.device):
            log_p = _scaled(logits[part], ctx.shard, ctx.temperature).sub_(log_total[part, None])
            chunk = torch.zeros_like(log_p)
            if entropy_grad is not None:
                chunk = (log_p + entropy[part, None]).mul_(-entropy_grad[part, None])
            if logprob_grad is not None:
                chunk -= logprob_grad[part, None]
            chunk *= log_p.exp_()
            if logprob_grad is not None:
                _add_at_labels(chunk, labels[part], logprob_grad[part], ctx.shard)
            gradient[part, : ctx.shard.size] = (chunk / ctx.temperature).to(gradient.dtype)
        return gradient, None, None, None


def _chunks(num_tokens: int, columns: int, device: torch.device) -> list[slice]:
    """Cut by the width of a shard with its padding, which all ranks share: they must reduce the same chunks."""
    step = max(CHUNK_ELEMENTS[device.type] // max(columns, 1), 1)
    return [slice(start, min(start + step, num_tokens)) for start in range(0, num_tokens, step)]


def _scaled(logits: Tensor, shard: VocabShard, temperature: float) -> Tensor:
    """The real columns in float32, divided by the temperature; those of forbidden tokens out of reach."""
    scaled = logits[:, : shard.size].float() / temperature
    if shard.forbidden:
        scaled[:, list(shard.forbidden)] = OUT_OF_REACH
    return scaled


def _chunk_scores(scaled: Tensor, labels: Tensor, shard: VocabShard) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probability of the labels, entropy, and log of the softmax's denominator, for one chunk of tokens."""
    shifted_label = torch.zeros(len(scaled), dtype=torch.float32, device=scaled.device)
    largest = scaled.amax(dim=1) if shard.size else torch.full_like(shifted_label, -torch.inf)
    _reduce(largest, dist.ReduceOp.MAX, shard.group)
    shifted = scaled - largest[:, None]
    held = _held(labels, shard)
    shifted_label[held] = shifted[held, labels[held] - shard.start]
    exponentials = shifted.exp()
    sums = torch.stack([exponentials.sum(dim=1), (exponentials * shifted).sum(dim=1), shifted_label])
    _reduce(sums, dist.ReduceOp.SUM, shard.group)
    total, weighted, label = sums
    log_sum = total.log()
    return label - log_sum, log_sum - weighted / total, largest + log_sum


def _held(labels: Tensor, shard: VocabShard) -> Tensor:
    return ((labels >= shard.start) & (labels < shard.start + shard.size)).nonzero().squeeze(1)


def _add_at_labels(chunk: Tensor, labels: Tensor, values: Tensor, shard: VocabShard) -> None:
    held = _held(labels, shard)
    chunk[held, labels[held] - shard.start] += values[held]


def _reduce(values: Tensor, op: dist.ReduceOp.RedOpType, group: dist.ProcessGroup | None) -> None:
    if group is not None:
        dist.all_reduce(values, op=op, group=group)
