"""One denominator for an optimizer step: how much each token counts in its loss."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lmm_r1_mega.config import Aggregation


def token_weights(
    lengths: Int[Tensor, "samples"], valid: Bool[Tensor, "samples"], aggregation: Aggregation, *, max_response_tokens: int
) -> Float[Tensor, "samples"]:
    """Weight of every token of a sample in the loss of one optimizer step: loss = sum over tokens of weight x token loss.

    `lengths` are response tokens of the samples of that step. `token`: 1 / trained tokens (every token counts the same),
    `sequence`: 1 / (sequences x own length) (every sample counts the same), `constant`: 1 / (sequences x
    max_response_tokens) (Dr. GRPO, Liu et al. 2025: length does not change a token's weight). Samples that are invalid or
    empty weigh 0 and do not count; a step without any sample to train on has weights 0.

    Example: lengths [1, 3], both valid, max 4 -> token [1/4, 1/4], sequence [1/2, 1/6], constant [1/8, 1/8].
    """
    counted = valid & (lengths > 0)
    num_sequences = counted.sum().clamp(min=1)
    denominators: dict[Aggregation, Tensor] = {
        "token": (lengths * counted).sum().clamp(min=1).expand_as(lengths),
        "sequence": num_sequences * lengths.clamp(min=1),
        "constant": (num_sequences * max_response_tokens).expand_as(lengths),
    }
    return torch.where(counted, 1 / denominators[aggregation].float(), 0.0)
