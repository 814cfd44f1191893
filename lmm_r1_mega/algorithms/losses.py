"""Losses of single tokens. Their weights in a step's loss come from `weights`; sums over tokens and ranks are the trainer's."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lmm_r1_mega.algorithms.kl import LOG_RATIO_BOUND


def policy_ratio(logprobs: Float[Tensor, "*tokens"], old_logprobs: Float[Tensor, "*tokens"]) -> Float[Tensor, "*tokens"]:
    """Probability of each sampled token by the policy over that by the policy it was sampled with; exactly 1 before an update."""
    return (logprobs - old_logprobs).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp()


def clipped_policy_loss(
    logprobs: Float[Tensor, "*tokens"],
    old_logprobs: Float[Tensor, "*tokens"],
    advantages: Float[Tensor, "*tokens"],
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None = None,
) -> Float[Tensor, "*tokens"]:
    """PPO's loss of each token, -min(ratio A, clip(ratio, 1 - low, 1 + high) A) (Schulman et al. 2017, eq. 7).

    `dual_clip` c bounds it by -c A where A is negative (Ye et al. 2020, eq. 5).

    Example: ratio 1.5, A = 2, clip_high 0.2 -> -2.4 and no gradient; ratio 1.5, A = -2 -> 3 with gradient.
    """
    ratio = policy_ratio(logprobs, old_logprobs)
    loss = torch.maximum(-ratio * advantages, -ratio.clamp(1 - clip_low, 1 + clip_high) * advantages)
    if dual_clip is None:
        return loss
    return torch.where(advantages < 0, torch.minimum(loss, -dual_clip * advantages), loss)


class ClippedTokens(NamedTuple):
    """Tokens whose gradient the clip removes."""

    low: Bool[Tensor, "*tokens"]
    high: Bool[Tensor, "*tokens"]


def clipped_tokens(
    logprobs: Float[Tensor, "*tokens"],
    old_logprobs: Float[Tensor, "*tokens"],
    advantages: Float[Tensor, "*tokens"],
    *,
    clip_low: float,
    clip_high: float,
) -> ClippedTokens:
    """Where the ratio left its range on the side that the advantage pushes to: below with A < 0, above with A > 0."""
    ratio = policy_ratio(logprobs, old_logprobs)
    return ClippedTokens(low=(ratio < 1 - clip_low) & (advantages < 0), high=(ratio > 1 + clip_high) & (advantages > 0))


def clipped_value_loss(
    values: Float[Tensor, "*tokens"], old_values: Float[Tensor, "*tokens"], returns: Float[Tensor, "*tokens"], *, clip: float
) -> Float[Tensor, "*tokens"]:
    """Value loss of each token, 0.5 max((V - G)^2, (V_old + clip(V - V_old, +-clip) - G)^2).

    Example: V = 2, V_old = 1, G = 0, clip 0.5 -> 2; V = 2, V_old = 1, G = 3, clip 0.5 -> 1.125, without gradient.
    """
    near = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns).square(), (near - returns).square())


def importance_weights(
    old_logprobs: Float[Tensor, "*tokens"], rollout_logprobs: Float[Tensor, "*tokens"], cap: float
) -> Float[Tensor, "*tokens"]:
    """Truncated importance weight min(pi_trainer / pi_rollout, cap) of each token; a constant for the gradient.

    Corrects for the small disagreement between the engine that sampled and the trainer that learns: `old_logprobs` are the
    trainer's before its first update, `rollout_logprobs` the engine's (Ionides 2008; Yao et al. 2025 for this use).
    """
    return policy_ratio(old_logprobs, rollout_logprobs).detach().clamp(max=cap)
