"""Losses of single tokens. Their weights in a step's loss come from `weights`; sums over tokens and ranks are the trainer's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lmm_r1_mega.algorithms.ratios import Importance, sequence_ratio, token_ratio
from lmm_r1_mega.config import KLEstimator, PolicyLossName


class Clip(NamedTuple):
    """Bounds of a policy loss."""

    low: float
    """The ratio's lower bound is 1 - low."""
    high: float
    """The ratio's upper bound is 1 + high."""
    dual: float | None = None
    """Bound on the loss of tokens with a negative advantage, in advantages."""

    def apply(self, ratio: Float[Tensor, "*tokens"]) -> Float[Tensor, "*tokens"]:
        """The ratio inside its bounds."""
        return ratio.clamp(1 - self.low, 1 + self.high)


@dataclass(frozen=True)
class PolicyLoss:
    """What the policy loss is made of."""

    clip: Clip
    temperature: float
    name: PolicyLossName = "clip"
    forbidden_ids: tuple[int, ...] = ()
    """Tokens that the sampler may not draw; the policy is the distribution over the others."""
    importance: Importance | None = None
    kl_coefficient: float = 0.0
    """Weight of the KL term in the loss; 0 where KL is part of the reward, or there is none."""
    kl_estimator: KLEstimator = "k3"
    kl_weighted: bool = False
    """Whether the KL term is multiplied by the policy's ratio to the old one."""
    entropy_coefficient: float = 0.0


class ClippedTokens(NamedTuple):
    """Tokens that the bounds of the ratio act upon."""

    low: Bool[Tensor, "*tokens"]
    high: Bool[Tensor, "*tokens"]


def clipped_policy_loss(
    ratio: Float[Tensor, "*tokens"], logprobs: Float[Tensor, "*tokens"], advantages: Float[Tensor, "*tokens"], clip: Clip
) -> Float[Tensor, "*tokens"]:
    """PPO's loss of each token, -min(ratio A, clip(ratio, 1 - low, 1 + high) A) (Schulman et al. 2017, eq. 7).

    Two bounds of their own are DAPO's clip-higher (Yu et al. 2025, section 3.1). `clip.dual` c bounds the loss by -c A where A is
    negative (Ye et al. 2020, eq. 5).

    Example: ratio 1.5, A = 2, clip.high 0.2 -> -2.4 and no gradient; ratio 1.5, A = -2 -> 3 with gradient.
    """
    loss = torch.maximum(-ratio * advantages, -clip.apply(ratio) * advantages)
    if clip.dual is None:
        return loss
    return torch.where(advantages < 0, torch.minimum(loss, -clip.dual * advantages), loss)


def silenced_tokens(ratio: Float[Tensor, "*tokens"], advantages: Float[Tensor, "*tokens"], clip: Clip) -> ClippedTokens:
    """Where the clip removes the gradient: the ratio is below its range with A < 0, or above with A > 0."""
    return ClippedTokens(low=(ratio < 1 - clip.low) & (advantages < 0), high=(ratio > 1 + clip.high) & (advantages > 0))


def weighted_likelihood_loss(
    ratio: Float[Tensor, "*tokens"], logprobs: Float[Tensor, "*tokens"], advantages: Float[Tensor, "*tokens"], clip: Clip
) -> Float[Tensor, "*tokens"]:
    """CISPO's loss of each token, -stop_gradient(clip(ratio, 1 - low, 1 + high)) A log pi (MiniMax 2025, section 3.1).

    No token loses its gradient. With `clip.low` 1 or more there is no lower bound, as published.

    Example: ratio 3, log pi = -2, A = 1, clip.high 1 -> 4 with gradient -2.
    """
    return -clip.apply(ratio).detach() * advantages * logprobs


def bounded_tokens(ratio: Float[Tensor, "*tokens"], advantages: Float[Tensor, "*tokens"], clip: Clip) -> ClippedTokens:
    """Where the ratio is outside its range and a bound weighs instead, whatever the advantage."""
    return ClippedTokens(low=ratio < 1 - clip.low, high=ratio > 1 + clip.high)


@dataclass(frozen=True)
class PolicyLossRule:
    """One policy loss: log-probabilities -> ratio -> loss of each token."""

    ratio: Callable[[Tensor, Tensor, Tensor], Tensor]
    """(log-probabilities, old log-probabilities, segments) -> ratio"""
    loss: Callable[[Tensor, Tensor, Tensor, Clip], Tensor]
    """(ratio, log-probabilities, advantages, clip) -> loss"""
    clipped: Callable[[Tensor, Tensor, Clip], ClippedTokens]
    """(ratio, advantages, clip) -> what the bounds act upon"""


POLICY_LOSSES: dict[PolicyLossName, PolicyLossRule] = {
    # Schulman et al. 2017
    "clip": PolicyLossRule(token_ratio, clipped_policy_loss, silenced_tokens),
    # Zheng et al. 2025, arXiv 2507.18071
    "gspo": PolicyLossRule(sequence_ratio, clipped_policy_loss, silenced_tokens),
    # MiniMax 2025, arXiv 2506.13585
    "cispo": PolicyLossRule(token_ratio, weighted_likelihood_loss, bounded_tokens),
}


def clipped_value_loss(
    values: Float[Tensor, "*tokens"], old_values: Float[Tensor, "*tokens"], returns: Float[Tensor, "*tokens"], *, clip: float
) -> Float[Tensor, "*tokens"]:
    """Value loss of each token, 0.5 max((V - G)^2, (V_old + clip(V - V_old, +-clip) - G)^2).

    Example: V = 2, V_old = 1, G = 0, clip 0.5 -> 2; V = 2, V_old = 1, G = 3, clip 0.5 -> 1.125, without gradient.
    """
    near = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns).square(), (near - returns).square())
