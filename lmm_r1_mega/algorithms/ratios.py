"""Ratios between two policies for the same sampled tokens: of the update to the sampler, and of the trainer to the rollout engine.

Tokens of several responses lie end to end; `segments[t]` is the number of token t's response. A response is never split over
tensors, so that sums over a response are sums over its segment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lmm_r1_mega.algorithms.kl import LOG_RATIO_BOUND
from lmm_r1_mega.config import RatioLevel


def policy_ratio(logprobs: Float[Tensor, "*tokens"], old_logprobs: Float[Tensor, "*tokens"]) -> Float[Tensor, "*tokens"]:
    """Probability of each sampled token by the policy over that by the policy it was sampled with; exactly 1 before an update."""
    return (logprobs - old_logprobs).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp()


def token_ratio(
    logprobs: Float[Tensor, "tokens"], old_logprobs: Float[Tensor, "tokens"], segments: Int[Tensor, "tokens"]
) -> Float[Tensor, "tokens"]:
    """`policy_ratio`: every token has its own."""
    return policy_ratio(logprobs, old_logprobs)


def sequence_ratio(
    logprobs: Float[Tensor, "tokens"], old_logprobs: Float[Tensor, "tokens"], segments: Int[Tensor, "tokens"]
) -> Float[Tensor, "tokens"]:
    """GSPO: the geometric mean of the token ratios of a response, at each of its tokens (Zheng et al. 2025, section 4).

    The gradient is that of the token variant: d ratio / d logprobs[t] is the ratio itself, at place t only. Where all tokens of
    a response have one advantage and one weight, their sum has the gradient of the response's own ratio.

    Example: one response with token ratios 4 and 1 -> 2 and 2.
    """
    mean = segment_sums((logprobs - old_logprobs).detach(), segments) / segment_sums(torch.ones_like(logprobs.detach()), segments)
    own_gradient = logprobs - logprobs.detach()  # 0
    return (mean + own_gradient).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp()


def segment_sums(numbers: Float[Tensor, "tokens"], segments: Int[Tensor, "tokens"]) -> Float[Tensor, "tokens"]:
    """Sum over the tokens of its response, at each token; without a gradient.

    In float64: a GPU adds them in any order, and the sum shall not tell.

    Example: numbers [1, 2, 4], segments [0, 0, 1] -> [3, 3, 4]
    """
    return torch.bincount(segments, weights=numbers.detach().double()).to(numbers.dtype)[segments]


@dataclass(frozen=True)
class Importance:
    """How tokens are weighed for the disagreement of the engine that sampled and the trainer that learns."""

    level: RatioLevel = "token"
    """Whether a token has its own ratio, or that of its whole response: the product of its tokens'."""
    cap: float | None = None
    """Larger ratios are cut down to it."""
    bounds: tuple[float, float] | None = None
    """Tokens with a ratio outside weigh nothing."""


def _product_ratio(
    logprobs: Float[Tensor, "tokens"], other_logprobs: Float[Tensor, "tokens"], segments: Int[Tensor, "tokens"]
) -> Float[Tensor, "tokens"]:
    return segment_sums(logprobs - other_logprobs, segments).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp()


IMPORTANCE_RATIOS: dict[RatioLevel, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"token": token_ratio, "sequence": _product_ratio}


def importance_weights(
    old_logprobs: Float[Tensor, "tokens"],
    rollout_logprobs: Float[Tensor, "tokens"],
    segments: Int[Tensor, "tokens"],
    importance: Importance,
) -> Float[Tensor, "tokens"]:
    """Importance weight pi_trainer / pi_rollout of each token, truncated or masked; a constant for the gradient.

    `old_logprobs` are the trainer's before its first update, `rollout_logprobs` the engine's. With a cap C it is min(ratio, C)
    (Ionides 2008; for this use Yao et al. 2025, and Liu et al. 2025 for whole responses). With bounds it is the ratio inside of
    them and 0 outside (IcePop: Ling team 2025, arXiv 2510.18855).

    Example: ratios 0.2, 1, 8 -> with cap 2: 0.2, 1, 2; with bounds 0.5 and 5: 0, 1, 0.
    """
    ratio = IMPORTANCE_RATIOS[importance.level](old_logprobs, rollout_logprobs, segments).detach()
    weights = ratio if importance.cap is None else ratio.clamp(max=importance.cap)
    if importance.bounds is None:
        return weights
    low, high = importance.bounds
    return torch.where((ratio >= low) & (ratio <= high), weights, 0.0)
