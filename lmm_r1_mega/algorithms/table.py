"""The algorithms as rows of a table, and the one function that the loop calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lmm_r1_mega.algorithms.advantages import (
    gae,
    group_mean_baseline,
    group_standard_score,
    last_token_rewards,
    leave_one_out,
    no_baseline,
    returns_to_go,
    unwhitened,
    whiten,
    whiten_groups,
)
from lmm_r1_mega.algorithms.kl import kl_estimate
from lmm_r1_mega.algorithms.metrics import critic_fit, masked_mean, reward_spread
from lmm_r1_mega.algorithms.trajectories import Advantages, Trajectories
from lmm_r1_mega.config import Aggregation, AlgorithmSettings, Whitening

Credit = tuple[Float[Tensor, "tokens"], Float[Tensor, "tokens"] | None]
"""Advantages of tokens, and returns for the critic where there is one."""


def credit_by_return(token_rewards: Float[Tensor, "tokens"], trajectories: Trajectories, settings: AlgorithmSettings) -> Credit:
    """A token's advantage is what came after it; there is no critic to teach."""
    return returns_to_go(token_rewards, trajectories.lengths, gamma=settings.gamma), None


def credit_by_gae(token_rewards: Float[Tensor, "tokens"], trajectories: Trajectories, settings: AlgorithmSettings) -> Credit:
    """A token's advantage is by how much it surprised the critic; returns are the critic's targets."""
    if trajectories.values is None:
        raise ValueError(f"algorithm.name {settings.name} needs the critic's values: start a critic and hand over `values`")
    bootstrap = trajectories.truncated & settings.bootstrap_truncated
    values = trajectories.values * trajectories.counted
    return gae(token_rewards, values, trajectories.lengths, gamma=settings.gamma, lam=settings.lam, bootstrap=bootstrap)


@dataclass(frozen=True)
class Algorithm:
    """One estimator: sample rewards -> baseline -> token rewards -> credit -> perhaps whitened."""

    baseline: Callable[[Tensor, Tensor, int], Tensor]
    """(rewards [samples], valid [samples], group size) -> rewards [samples]."""
    credit: Callable[[Tensor, Trajectories, AlgorithmSettings], Credit]
    whitening: Whitening
    """Over what advantages are shifted and scaled where the settings do not say."""
    aggregation: Aggregation
    """How the loss counts tokens where the settings do not say."""


ALGORITHMS: dict[str, Algorithm] = {
    # Schulman et al. 2017; advantages whitened as in Huang et al. 2022, "The 37 implementation details of PPO", no. 7
    "ppo": Algorithm(no_baseline, credit_by_gae, whitening="batch", aggregation="token"),
    # Shao et al. 2024
    "grpo": Algorithm(group_standard_score, credit_by_return, whitening="none", aggregation="sequence"),
    # Liu et al. 2025
    "dr_grpo": Algorithm(group_mean_baseline, credit_by_return, whitening="none", aggregation="constant"),
    # Ahmadian et al. 2024
    "rloo": Algorithm(leave_one_out, credit_by_return, whitening="none", aggregation="token"),
    # Williams 1992
    "reinforce": Algorithm(no_baseline, credit_by_return, whitening="none", aggregation="token"),
    # Hu et al. 2025, REINFORCE++ and its baseline variant
    "reinforce_pp": Algorithm(no_baseline, credit_by_return, whitening="batch", aggregation="token"),
    "reinforce_baseline": Algorithm(group_mean_baseline, credit_by_return, whitening="batch", aggregation="token"),
}

WHITENINGS: dict[Whitening, Callable[[Tensor, Tensor, list[int]], Tensor]] = {"none": unwhitened, "batch": whiten, "group": whiten_groups}
"""(advantages [tokens], mask [tokens], tokens of each prompt's samples) -> advantages [tokens]."""


def whitening_of(settings: AlgorithmSettings) -> Whitening:
    """Over what advantages are whitened: as the settings say, else as the algorithm was published."""
    return settings.whitening or ALGORITHMS[settings.name].whitening


def aggregation_of(settings: AlgorithmSettings) -> Aggregation:
    """How the loss counts tokens: as the settings say, else as the algorithm was published."""
    return settings.aggregation or ALGORITHMS[settings.name].aggregation


def prepare(trajectories: Trajectories, settings: AlgorithmSettings, kl_coefficient: float) -> Advantages:
    """Advantages, returns and metrics of a step's samples by the algorithm that the settings name.

    Rewards are clipped, compared with their baseline and put on the last tokens; the KL penalty of tokens is subtracted where
    its place is the reward; credit runs backward over the tokens. With no discount and no penalty every token of a sample
    has the sample's own advantage. `kl_coefficient` is the controller's, which may differ from the settings' starting value.
    """
    algorithm = ALGORITHMS[settings.name]
    valid, lengths, counted = trajectories.valid, trajectories.lengths, trajectories.counted
    rewards = _clipped(trajectories.rewards.masked_fill(~valid, 0), settings.reward_clip)
    kl = _token_kl(trajectories, settings)
    shaped = algorithm.baseline(rewards, valid, trajectories.group_size)
    token_rewards = last_token_rewards(shaped, lengths)
    if settings.kl.apply_to == "reward":
        token_rewards = token_rewards - kl_coefficient * kl * counted
    advantages, returns = algorithm.credit(token_rewards, trajectories, settings)
    group_lengths = lengths.view(-1, trajectories.group_size).sum(dim=1).tolist()
    advantages = WHITENINGS[whitening_of(settings)](advantages, counted, group_lengths)
    metrics = reward_spread(rewards, valid, trajectories.group_size)
    metrics |= {"kl": masked_mean(kl, counted), "advantage/abs_mean": masked_mean(advantages.abs(), counted)}
    if trajectories.values is not None and returns is not None:
        metrics |= critic_fit(trajectories.values, returns, counted)
    return Advantages(advantages, returns, metrics)


def _clipped(rewards: Float[Tensor, "samples"], bounds: tuple[float, float] | None) -> Float[Tensor, "samples"]:
    """Rewards inside the bounds, where there are any."""
    return rewards if bounds is None else rewards.clamp(*bounds)


def _token_kl(trajectories: Trajectories, settings: AlgorithmSettings) -> Float[Tensor, "tokens"]:
    """KL of every token before the update; 0 without a reference."""
    if trajectories.reference_logprobs is None:
        return torch.zeros_like(trajectories.old_logprobs)
    return kl_estimate(trajectories.old_logprobs, trajectories.reference_logprobs, settings.kl.estimator)
