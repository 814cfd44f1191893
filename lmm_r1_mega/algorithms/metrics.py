"""Figures that tell a practitioner how a step went. None of them trains anything."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from lmm_r1_mega.algorithms.advantages import masked_spread, mean_and_variance
from lmm_r1_mega.algorithms.kl import kl_estimate
from lmm_r1_mega.algorithms.ratios import policy_ratio


def masked_mean(numbers: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> float:
    """Mean of the numbers under the mask; 0 where there are none."""
    return float(mean_and_variance(numbers[mask])[0]) if mask.any() else 0.0


def mismatch(old_logprobs: Float[Tensor, "tokens"], rollout_logprobs: Float[Tensor, "tokens"]) -> dict[str, float]:
    """Disagreement of trainer and rollout engine about the sampled tokens, before any update.

    `abs_mean` and `abs_max` of the difference of log-probabilities; `k3`, the estimate of KL(rollout || trainer); `ess`,
    effective sample size as a share of the tokens, (sum w)^2 / (n sum w^2) with w = pi_trainer / pi_rollout: 1 where they
    agree. Without a token: 0, and `ess` 1.
    """
    if not old_logprobs.numel():
        return {"mismatch/abs_mean": 0.0, "mismatch/abs_max": 0.0, "mismatch/k3": 0.0, "mismatch/ess": 1.0}
    old, rollout = old_logprobs.double(), rollout_logprobs.double()
    difference = (old - rollout).abs()
    weights = policy_ratio(old, rollout)
    return {
        "mismatch/abs_mean": float(difference.mean()),
        "mismatch/abs_max": float(difference.max()),
        "mismatch/k3": float(kl_estimate(rollout, old, "k3").mean()),
        "mismatch/ess": float(weights.sum().square() / (weights.square().sum() * weights.numel())),
    }


def ratio_spread(mean: float, mean_square: float) -> dict[str, float]:
    """Standard deviation and effective sample size, as a share of the tokens, of a ratio with these moments.

    The effective sample size is (sum w)^2 / (n sum w^2): 1 where all tokens weigh the same.

    Example: ratios 1 and 3, so mean 2 and mean square 5 -> std 1, ess 0.8.
    """
    return {"ratio/std": max(mean_square - mean**2, 0.0) ** 0.5, "ratio/ess": mean**2 / mean_square}


def reward_spread(rewards: Float[Tensor, "samples"], valid: Bool[Tensor, "samples"], group_size: int) -> dict[str, float]:
    """Mean reward, mean standard deviation inside a group, and the share of groups that are all equal and teach nothing.

    Groups without a valid sample are in no figure; a group with one valid sample has no spread.
    """
    if not valid.any():
        return {"reward": 0.0, "reward_std": 0.0, "frac_reward_zero_std": 1.0}
    spread = masked_spread(rewards.view(-1, group_size), valid.view(-1, group_size))
    seen = spread.count > 0
    std = (spread.variance * spread.count / (spread.count - 1).clamp(min=1)).sqrt()
    return {
        "reward": masked_mean(rewards, valid),
        "reward_std": float(std[seen].mean()),
        "frac_reward_zero_std": float((std[seen] == 0).float().mean()),
    }


def critic_fit(values: Float[Tensor, "*tokens"], returns: Float[Tensor, "*tokens"], mask: Bool[Tensor, "*tokens"]) -> dict[str, float]:
    """How well a critic knew the returns of the tokens under the mask before it learned from them; 0 where there are none.

    The explained variance is 1 - var(returns - values) / var(returns): 1 for a perfect critic, 0 for a constant one; 0 where the
    returns are all equal.
    """
    names = ("value/mean", "value/return_mean", "value/return_std", "value/explained_variance")
    if not mask.any():
        return dict.fromkeys(names, 0.0)
    known, found = values[mask], returns[mask]
    mean, variance = mean_and_variance(found)
    explained = 1 - mean_and_variance(found - known)[1] / variance if variance else 0.0
    return dict(zip(names, map(float, (mean_and_variance(known)[0], mean, variance.sqrt(), explained)), strict=True))
