"""Metrics against numbers worked by hand."""

import math

import pytest
import torch

from lmm_r1_mega.algorithms.advantages import mean_and_variance
from lmm_r1_mega.algorithms.metrics import critic_fit, masked_mean, mismatch, reward_spread


def test_mismatch_by_hand():
    figures = mismatch(torch.tensor([0.2, 0.4]).log(), torch.tensor([0.4, 0.4]).log())
    assert figures["mismatch/abs_mean"] == pytest.approx(math.log(2) / 2)
    assert figures["mismatch/abs_max"] == pytest.approx(math.log(2))
    assert figures["mismatch/k3"] == pytest.approx((0.5 - 1 + math.log(2)) / 2)
    assert figures["mismatch/ess"] == pytest.approx(1.5**2 / (2 * 1.25))


def test_agreement_is_exact():
    logprobs = -torch.rand(21)
    figures = mismatch(logprobs, logprobs.clone())
    assert figures == {"mismatch/abs_mean": 0, "mismatch/abs_max": 0, "mismatch/k3": 0, "mismatch/ess": 1}


def test_no_tokens_no_mismatch():
    figures = mismatch(torch.zeros(0), torch.zeros(0))
    assert figures == {"mismatch/abs_mean": 0, "mismatch/abs_max": 0, "mismatch/k3": 0, "mismatch/ess": 1}


def test_reward_spread_by_hand():
    rewards = torch.tensor([1.0, 0.0, 0.1, 0.1, 1.0, 9.0, 9.0, 9.0])
    valid = torch.tensor([True, True, True, True, True, False, False, False])
    figures = reward_spread(rewards, valid, 2)
    assert figures["reward"] == pytest.approx(2.2 / 5)
    assert figures["reward_std"] == pytest.approx(math.sqrt(0.5) / 3)
    assert figures["frac_reward_zero_std"] == pytest.approx(2 / 3)


def test_a_critic_is_compared_with_the_returns_by_hand():
    mask = torch.tensor([True, True, True, False])
    returns = torch.tensor([0.0, 1.0, 2.0, 50.0])
    figures = critic_fit(returns / 2, returns, mask)
    assert figures == pytest.approx(
        {"value/mean": 0.5, "value/return_mean": 1.0, "value/return_std": math.sqrt(2 / 3), "value/explained_variance": 0.75}
    )
    assert critic_fit(returns + torch.tensor([0, 0, 0, 9.0]), returns, mask)["value/explained_variance"] == 1
    assert critic_fit(torch.full_like(returns, 3.0), returns, mask)["value/explained_variance"] == pytest.approx(0)
    assert critic_fit(returns, torch.full_like(returns, 0.1), mask)["value/explained_variance"] == 0
    assert set(critic_fit(returns, returns, torch.zeros_like(mask)).values()) == {0.0}


def test_masked_mean_by_hand():
    assert masked_mean(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([True, True, False])) == 1.5
    assert masked_mean(torch.tensor([1.0]), torch.tensor([False])) == 0


@pytest.mark.parametrize("count", [1, 2, 3, 7, 31, 1000, 4097, 32769, 1_000_003])
@pytest.mark.parametrize("number", [0.1, 1 / 3, -0.7, 1e-8, 12345.678])
def test_equal_numbers_have_exactly_that_mean_and_no_variance(count, number):
    numbers = torch.full((count,), number)
    mean, variance = mean_and_variance(numbers)
    assert (mean, variance) == (numbers[0], 0)
