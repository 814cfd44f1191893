"""Estimators against numbers worked by hand and identities between them."""

import math

import pytest
import torch

from lmm_r1_mega.algorithms.advantages import (
    gae,
    group_mean_baseline,
    group_standard_score,
    last_token_rewards,
    leave_one_out,
    no_baseline,
    returns_to_go,
    whiten,
    whiten_groups,
)

GROUP_BASELINES = [group_mean_baseline, leave_one_out, group_standard_score]
NEVER = torch.tensor([False])


def valid(*flags):
    return torch.tensor(flags, dtype=torch.bool)


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        (no_baseline, [1, 0, 0, 1]),
        (group_mean_baseline, [0.5, -0.5, -0.5, 0.5]),
        (leave_one_out, [2 / 3, -2 / 3, -2 / 3, 2 / 3]),
        (group_standard_score, [0.75**0.5, -(0.75**0.5), -(0.75**0.5), 0.75**0.5]),
    ],
)
def test_baselines_by_hand(baseline, expected):
    result = baseline(torch.tensor([1.0, 0.0, 0.0, 1.0]), valid(1, 1, 1, 1), 4)
    torch.testing.assert_close(result, torch.tensor(expected, dtype=torch.float32), rtol=3e-6, atol=0)


def test_groups_do_not_mix():
    rewards = torch.tensor([1.0, 3.0, 10.0, 30.0])
    assert group_mean_baseline(rewards, valid(1, 1, 1, 1), 2).tolist() == [-1, 1, -10, 10]


@pytest.mark.parametrize("baseline", GROUP_BASELINES)
@pytest.mark.parametrize("reward", [0.1, 1 / 3, 1e8, -0.7])
@pytest.mark.parametrize("group_size", [2, 3, 7, 16])
def test_equal_rewards_have_advantages_of_exactly_zero(baseline, reward, group_size):
    rewards = torch.full((group_size,), reward)
    assert baseline(rewards, torch.ones(group_size, dtype=torch.bool), group_size).eq(0).all()


def test_leave_one_out_is_a_multiple_of_the_mean_baseline():
    rewards = torch.randn(24, generator=torch.Generator().manual_seed(0))
    everything = torch.ones(24, dtype=torch.bool)
    torch.testing.assert_close(leave_one_out(rewards, everything, 8), 8 / 7 * group_mean_baseline(rewards, everything, 8))


def test_leave_one_out_is_what_its_name_says():
    rewards = torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([rewards[i] - torch.cat([rewards[:i], rewards[i + 1 :]]).mean() for i in range(5)])
    torch.testing.assert_close(leave_one_out(rewards, torch.ones(5, dtype=torch.bool), 5), expected)


def test_standard_score_has_mean_zero_and_sample_deviation_one():
    scores = group_standard_score(torch.randn(64, dtype=torch.float64), torch.ones(64, dtype=torch.bool), 16).view(-1, 16)
    torch.testing.assert_close(scores.mean(dim=1), torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(scores.std(dim=1), torch.ones(4, dtype=torch.float64), rtol=1e-5, atol=0)


@pytest.mark.parametrize("baseline", GROUP_BASELINES)
def test_invalid_samples_are_in_no_statistic(baseline):
    with_invalid = baseline(torch.tensor([1.0, 99.0, 0.0, 0.5]), valid(1, 0, 1, 1), 4)
    without = baseline(torch.tensor([1.0, 0.0, 0.5]), valid(1, 1, 1), 3)
    assert with_invalid[1] == 0
    torch.testing.assert_close(with_invalid[[0, 2, 3]], without)


@pytest.mark.parametrize("baseline", GROUP_BASELINES)
@pytest.mark.parametrize("flags", [(0, 1, 0), (0, 0, 0)])
def test_a_group_with_less_than_two_valid_samples_has_no_advantage(baseline, flags):
    assert baseline(torch.tensor([1.0, 5.0, 0.0]), valid(*flags), 3).eq(0).all()


@pytest.mark.parametrize("baseline", GROUP_BASELINES)
def test_a_group_of_one_is_refused_with_the_way_out(baseline):
    with pytest.raises(ValueError, match=r"got 1: raise algorithm\.samples_per_prompt"):
        baseline(torch.tensor([1.0]), valid(1), 1)


@pytest.mark.parametrize("baseline", GROUP_BASELINES)
def test_a_part_of_a_group_is_refused(baseline):
    with pytest.raises(ValueError, match="5 samples are not whole groups of 2"):
        baseline(torch.zeros(5), torch.ones(5, dtype=torch.bool), 2)


def test_reward_falls_on_the_last_token():
    assert last_token_rewards(torch.tensor([5.0, 6.0, 7.0]), torch.tensor([2, 0, 3])).tolist() == [0, 5, 0, 0, 7]
    assert last_token_rewards(torch.tensor([5.0]), torch.tensor([0])).tolist() == []


def test_returns_by_hand():
    rewards, lengths = torch.tensor([9.0, 1.0, 0.0, 2.0, 4.0]), torch.tensor([1, 3, 0, 1])
    assert returns_to_go(rewards, lengths, gamma=0.5).tolist() == [9, 1.5, 1, 2, 4]
    assert returns_to_go(rewards, lengths, gamma=1.0).tolist() == [9, 3, 2, 2, 4]


def test_gae_by_hand():
    result = gae(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.25]), torch.tensor([2]), gamma=1.0, lam=0.5, bootstrap=NEVER)
    assert result.advantages.tolist() == [0.125, 0.75]
    assert result.returns.tolist() == [0.625, 1.0]


def test_gae_of_a_cut_response_goes_on_with_the_critics_value():
    # V after the end is 0.25: delta = 1 + 0.25 - 0.25 = 1; before it: 0.25 - 0.5 + 0.5 x 1 = 0.25. The next response's value is not read.
    rewards, values = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.5, 0.25, 7.0])
    result = gae(rewards, values, torch.tensor([2, 1]), gamma=1.0, lam=0.5, bootstrap=torch.tensor([True, False]))
    assert result.advantages.tolist() == [0.25, 1.0, -7.0]
    assert result.returns.tolist() == [0.75, 1.25, 0.0]


LENGTHS = torch.tensor([11, 1, 4, 10, 0, 7, 2])
NONE_CUT = torch.zeros(7, dtype=torch.bool)


def gae_inputs(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 35, generator=generator, dtype=torch.float64)


def one_by_one(numbers):
    return numbers.split(LENGTHS.tolist())


def test_gae_with_lambda_one_is_the_return_minus_the_value():
    rewards, values = gae_inputs()
    result = gae(rewards, values, LENGTHS, gamma=0.9, lam=1.0, bootstrap=NONE_CUT)
    returns = returns_to_go(rewards, LENGTHS, gamma=0.9)
    torch.testing.assert_close(result.advantages, returns - values)
    torch.testing.assert_close(result.returns, returns)


def test_gae_with_lambda_zero_is_the_surprise_of_one_step():
    rewards, values = gae_inputs()
    result = gae(rewards, values, LENGTHS, gamma=0.9, lam=0.0, bootstrap=NONE_CUT)
    following = torch.cat([torch.nn.functional.pad(own[1:], (0, len(own[:1]))) for own in one_by_one(values)])
    torch.testing.assert_close(result.advantages, rewards + 0.9 * following - values)


@pytest.mark.parametrize("is_cut", [False, True])
def test_gae_is_its_sum_over_steps(is_cut):
    (rewards, values), gamma, lam = gae_inputs(), 0.9, 0.7
    result = gae(rewards, values, LENGTHS, gamma=gamma, lam=lam, bootstrap=NONE_CUT | is_cut)
    for own, r, v in zip(*map(one_by_one, (result.advantages, rewards, values)), strict=True):
        v = torch.cat([v, v[-1:] * is_cut])
        deltas = [r[t] + gamma * v[t + 1] - v[t] for t in range(len(r))]
        expected = [sum((gamma * lam) ** k * delta for k, delta in enumerate(deltas[t:])) for t in range(len(r))]
        assert own.tolist() == pytest.approx([float(one) for one in expected], rel=1e-12)


def test_a_response_is_alone_with_its_numbers():
    """Bit for bit: what lies beside it changes nothing."""
    rewards, values = gae_inputs()
    together = gae(rewards, values, LENGTHS, gamma=0.9, lam=0.7, bootstrap=~NONE_CUT)
    for own, r, v in zip(*map(one_by_one, (together.advantages, rewards, values)), strict=True):
        alone = gae(r, v, torch.tensor([len(r)]), gamma=0.9, lam=0.7, bootstrap=~NEVER)
        assert own.equal(alone.advantages)


def test_whitening_has_mean_zero_and_variance_one_over_tokens():
    numbers, _ = gae_inputs()
    mask = torch.arange(35) % 3 > 0
    white = whiten(numbers, mask, [])
    assert white[~mask].eq(0).all()
    assert white[mask].mean().item() == pytest.approx(0, abs=1e-12)
    assert white[mask].var(correction=0).item() == pytest.approx(1, rel=1e-5)


def test_whitening_by_hand_and_of_equal_numbers():
    mask = valid(1, 1, 0)
    torch.testing.assert_close(whiten(torch.tensor([3.0, 5.0, 100.0]), mask, []), torch.tensor([-1.0, 1.0, 0.0]))
    assert whiten(torch.tensor([0.1, 0.1, 7.0]), mask, []).eq(0).all()
    assert whiten(torch.tensor([3.0, 5.0, 100.0]), ~valid(1, 1, 1), []).eq(0).all()


def test_groups_are_whitened_apart():
    numbers, mask = torch.tensor([1.0, 3.0, 3.0, 5.0, 5.0, 5.0, -7.0]), valid(1, 1, 1, 1, 1, 1, 0)
    by_hand = torch.tensor([-4 / math.sqrt(8), 2 / math.sqrt(8), 2 / math.sqrt(8), 0, 0, 0, 0])  # of 1, 3, 3: mean 7/3
    white = whiten_groups(numbers, mask, [3, 4])
    torch.testing.assert_close(white, by_hand)
    assert white[3:].eq(0).all()
    assert whiten_groups(numbers, mask, [7]).equal(whiten(numbers, mask, []))
