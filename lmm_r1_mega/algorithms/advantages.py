"""Estimators as pure functions: rewards of samples and tokens in, advantages out.

Statistics of a group are over its valid samples. A mean of equal numbers is taken to be that number, not its sum over its
count, so that a group of equal rewards, or of one valid sample, has advantages of exactly 0 whatever the rounding.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

STD_EPS = 1e-6
"""Added to every standard deviation that divides."""


class Spread(NamedTuple):
    """Center and spread of the numbers of each row."""

    count: Float[Tensor, "rows 1"]
    mean: Float[Tensor, "rows 1"]
    variance: Float[Tensor, "rows 1"]
    """Sum of squared deviations over the count; exactly 0 for equal numbers."""


def mean_and_variance(numbers: Float[Tensor, "numbers"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Of at least one number, of as many as a step has tokens; the variance is over the count.

    Of equal numbers exactly that number and 0: Welford's sums (torch.var_mean), unlike plain ones, have nothing to round then.
    """
    variance, mean = torch.var_mean(numbers, correction=0)
    return mean, variance


def masked_spread(numbers: Float[Tensor, "rows length"], mask: Bool[Tensor, "rows length"]) -> Spread:
    """Count, mean and variance of the numbers under the mask; all 0 where there are none."""
    count = mask.sum(dim=-1, keepdim=True).to(numbers.dtype)
    smallest = numbers.masked_fill(~mask, torch.inf).amin(dim=-1, keepdim=True)
    largest = numbers.masked_fill(~mask, -torch.inf).amax(dim=-1, keepdim=True)
    mean = (numbers * mask).sum(dim=-1, keepdim=True) / count.clamp(min=1)
    mean = torch.where(smallest == largest, smallest, mean)
    variance = ((numbers - mean) * mask).square().sum(dim=-1, keepdim=True) / count.clamp(min=1)
    return Spread(count, mean, variance)


def _groups(rewards: Float[Tensor, "samples"], valid: Bool[Tensor, "samples"], group_size: int) -> tuple[Tensor, Tensor]:
    """The two vectors as [prompts, group]."""
    if group_size < 2:
        raise ValueError(
            f"a baseline from the group needs at least 2 samples a prompt, got {group_size}: raise algorithm.samples_per_prompt"
        )
    if len(rewards) % group_size:
        raise ValueError(
            f"{len(rewards)} samples are not whole groups of {group_size}: hand over every sample of a prompt, invalid ones too"
        )
    return rewards.view(-1, group_size), valid.view(-1, group_size)


def no_baseline(rewards: Float[Tensor, "samples"], valid: Bool[Tensor, "samples"], group_size: int) -> Float[Tensor, "samples"]:
    """The rewards as they are; 0 where invalid."""
    return rewards * valid


def group_mean_baseline(rewards: Float[Tensor, "samples"], valid: Bool[Tensor, "samples"], group_size: int) -> Float[Tensor, "samples"]:
    """Reward minus the mean of its group (Dr. GRPO, Liu et al. 2025).

    Example: one group [1, 0, 0, 1] -> [1/2, -1/2, -1/2, 1/2]
    """
    grouped, counted = _groups(rewards, valid, group_size)
    return ((grouped - masked_spread(grouped, counted).mean) * counted).flatten()


def leave_one_out(rewards: Float[Tensor, "samples"], valid: Bool[Tensor, "samples"], group_size: int) -> Float[Tensor, "samples"]:
    """RLOO: reward minus the mean of the other samples of its prompt, n / (n - 1) (R - mean) (Ahmadian et al. 2024, eq. 8).

    Example: one group [1, 0, 0, 1] -> [2/3, -2/3, -2/3, 2/3]
    """
    grouped, counted = _groups(rewards, valid, group_size)
    spread = masked_spread(grouped, counted)
    others = spread.count / (spread.count - 1).clamp(min=1)
    return ((grouped - spread.mean) * others * counted).flatten()


def group_standard_score(rewards: Float[Tensor, "samples"], valid: Bool[Tensor, "samples"], group_size: int) -> Float[Tensor, "samples"]:
    """GRPO: (reward - mean of its group) / (its sample standard deviation + 1e-6) (Shao et al. 2024, section 4.1.2).

    The standard deviation divides by n - 1, as in the published implementations.

    Example: one group [1, 0, 0, 1] -> std sqrt(1/3), so [0.866, -0.866, -0.866, 0.866]; equal rewards -> exactly 0.
    """
    grouped, counted = _groups(rewards, valid, group_size)
    spread = masked_spread(grouped, counted)
    std = (spread.variance * spread.count / (spread.count - 1).clamp(min=1)).sqrt()
    return ((grouped - spread.mean) / (std + STD_EPS) * counted).flatten()


def last_token_rewards(rewards: Float[Tensor, "samples"], lengths: Int[Tensor, "samples"]) -> Float[Tensor, "tokens"]:
    """Token rewards that are the sample's reward on its last token and 0 elsewhere; a response without tokens gets none.

    Example: rewards [5, 6], lengths [2, 1] -> [0, 5, 6]
    """
    token_rewards = rewards.new_zeros(int(lengths.sum()))
    token_rewards[_last_tokens(lengths)] = rewards[lengths > 0]
    return token_rewards


def returns_to_go(token_rewards: Float[Tensor, "tokens"], lengths: Int[Tensor, "samples"], *, gamma: float) -> Float[Tensor, "tokens"]:
    """Return of each token, G_t = r_t + gamma G_{t+1}, 0 after the last.

    Example: rewards [1, 0, 2] of one response with gamma 1/2 -> [1.5, 1, 2]
    """
    return _backward_sum(token_rewards, lengths, gamma)


class GAE(NamedTuple):
    """Advantages, and the returns that the critic learns."""

    advantages: Float[Tensor, "tokens"]
    returns: Float[Tensor, "tokens"]


def gae(
    token_rewards: Float[Tensor, "tokens"],
    values: Float[Tensor, "tokens"],
    lengths: Int[Tensor, "samples"],
    *,
    gamma: float,
    lam: float,
    bootstrap: Bool[Tensor, "samples"],
) -> GAE:
    """Generalized advantage estimation (Schulman et al. 2016, eq. 16) and returns = advantages + values.

    delta_t = r_t + gamma V_{t+1} - V_t, A_t = delta_t + gamma lam A_{t+1}. After the last token V is 0, except where
    `bootstrap` is true (a response that the length limit cut): it would have gone on, and the value of its last state, the
    nearest one the critic has seen, stands for what would have come.

    Example: rewards [0, 1], values [0.5, 0.25], gamma 1, lam 1/2 -> advantages [0.125, 0.75], returns [0.625, 1].
    """
    following, last = values.roll(-1), _last_tokens(lengths)
    following[last] = values[last] * bootstrap[lengths > 0]
    deltas = token_rewards + gamma * following - values
    advantages = _backward_sum(deltas, lengths, gamma * lam)
    return GAE(advantages, advantages + values)


def unwhitened(numbers: Float[Tensor, "tokens"], mask: Bool[Tensor, "tokens"], group_lengths: list[int]) -> Float[Tensor, "tokens"]:
    """The numbers as they are."""
    return numbers


def whiten(numbers: Float[Tensor, "tokens"], mask: Bool[Tensor, "tokens"], group_lengths: list[int]) -> Float[Tensor, "tokens"]:
    """Shift and scale to mean 0 and variance 1 over all tokens under the mask; equal numbers become exactly 0."""
    if not mask.any():
        return torch.zeros_like(numbers)
    mean, variance = mean_and_variance(numbers[mask])
    return (numbers - mean) / (variance.sqrt() + STD_EPS) * mask


def whiten_groups(numbers: Float[Tensor, "tokens"], mask: Bool[Tensor, "tokens"], group_lengths: list[int]) -> Float[Tensor, "tokens"]:
    """Shift and scale to mean 0 and variance 1 over the tokens of each prompt; equal numbers become exactly 0.

    Example: numbers [1, 3, 5, 5] of two prompts with two tokens each -> [-1, 1, 0, 0]
    """
    groups = zip(numbers.split(group_lengths), mask.split(group_lengths), strict=True)
    return torch.cat([whiten(own, counted, []) for own, counted in groups])


def _last_tokens(lengths: Int[Tensor, "samples"]) -> Int[Tensor, "responses"]:
    """Place of the last token of each response that has one."""
    return lengths.cumsum(0)[lengths > 0] - 1


def _backward_sum(terms: Float[Tensor, "tokens"], lengths: Int[Tensor, "samples"], decay: float) -> Float[Tensor, "tokens"]:
    """Sums from the right within each response, S_t = x_t + decay S_{t+1}, one token of all responses at a time."""
    by_length = lengths.argsort(descending=True)
    starts, num_longer = (lengths.cumsum(0) - lengths)[by_length], len(lengths) - lengths.bincount().cumsum(0)
    total, sums = terms.new_zeros(len(lengths)), torch.empty_like(terms)
    for t, count in reversed(list(enumerate(num_longer.tolist()))):
        going_on, places = total[:count], starts[:count] + t  # the responses that have a token t
        going_on.mul_(decay).add_(terms[places])
        sums[places] = going_on
    return sums
