"""Every row of the table through `prepare`, against numbers worked by hand."""

import math
from dataclasses import replace

import pytest
import torch

from lmm_r1_mega.algorithms.table import ALGORITHMS, aggregation_of, prepare, whitening_of
from lmm_r1_mega.algorithms.trajectories import Trajectories
from lmm_r1_mega.config import GROUP_BASELINES, AlgorithmSettings, KLSettings

LENGTHS = torch.tensor([1, 3, 2, 2])
NUM_TOKENS = 8


def trajectories(rewards=(1.0, 0.0, 0.0, 1.0), valid=(True, True, True, True), **fields):
    """Four samples of one prompt with 1, 3, 2 and 2 tokens, a perfectly ignorant critic and a reference equal to the policy."""
    zeros = torch.zeros(NUM_TOKENS)
    given = {"truncated": torch.zeros(4, dtype=torch.bool), "values": zeros, "reference_logprobs": zeros} | fields
    return Trajectories(
        rewards=torch.tensor(rewards), valid=torch.tensor(valid), lengths=LENGTHS, old_logprobs=zeros, group_size=4, **given
    )


def settings(name, **fields):
    return AlgorithmSettings(name=name, samples_per_prompt=4, **fields)


def per_token(sample_values):
    return torch.tensor(sample_values).repeat_interleave(LENGTHS)


# eight tokens, three of them in samples with reward 1: mean 3/8, standard deviation sqrt(15)/8
WHITE = (5 / math.sqrt(15), -3 / math.sqrt(15), -3 / math.sqrt(15), 5 / math.sqrt(15))
# R - mean = +-1/2 over the same tokens: mean -1/8, standard deviation sqrt(15)/8
EXPECTED = {
    "ppo": WHITE,
    "grpo": (math.sqrt(0.75), -math.sqrt(0.75), -math.sqrt(0.75), math.sqrt(0.75)),
    "dr_grpo": (0.5, -0.5, -0.5, 0.5),
    "rloo": (2 / 3, -2 / 3, -2 / 3, 2 / 3),
    "reinforce": (1.0, 0.0, 0.0, 1.0),
    "reinforce_pp": WHITE,
    "reinforce_baseline": WHITE,
}


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_every_algorithm_by_hand(name):
    result = prepare(trajectories(), settings(name), 0.0)
    torch.testing.assert_close(result.advantages, per_token(EXPECTED[name]), rtol=1e-5, atol=1e-6)
    assert (result.returns is not None) == settings(name).needs_critic


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_invalid_samples_change_nothing_and_get_nothing(name):
    results = [
        prepare(trajectories(rewards=(1.0, 0.0, junk, 0.5), valid=(True, True, False, True)), settings(name), 0.0)
        for junk in (0.0, 9.0, math.nan)
    ]
    assert results[0].advantages[4:6].eq(0).all()
    for other in results[1:]:
        assert other.advantages.equal(results[0].advantages)
        assert other.metrics == results[0].metrics


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_a_step_without_a_valid_sample_is_finite_and_zero(name):
    result = prepare(trajectories(valid=(False,) * 4), settings(name), 0.1)
    assert result.advantages.eq(0).all()
    assert all(math.isfinite(value) for value in result.metrics.values())


@pytest.mark.parametrize("name", sorted(GROUP_BASELINES))
def test_equal_rewards_teach_exactly_nothing(name):
    result = prepare(trajectories(rewards=(0.1,) * 4), settings(name), 0.0)
    assert result.advantages.eq(0).all()
    assert result.metrics["frac_reward_zero_std"] == 1


def test_ppo_returns_are_the_critics_targets():
    values = torch.full((NUM_TOKENS,), 0.25)
    result = prepare(trajectories(values=values), settings("ppo"), 0.0)
    torch.testing.assert_close(result.returns, per_token((1.0, 0.0, 0.0, 1.0)))
    assert result.metrics["value/mean"] == 0.25
    assert result.metrics["value/return_mean"] == pytest.approx(3 / 8)
    assert result.metrics["value/return_std"] == pytest.approx(math.sqrt(15) / 8)


@pytest.mark.parametrize(("setting", "after_the_cut"), [(True, 0.25), (False, 0.0)])
def test_truncated_responses_are_continued_where_the_setting_says_so(setting, after_the_cut):
    inputs = trajectories(values=torch.full((NUM_TOKENS,), 0.25), truncated=torch.tensor([False, True, False, False]))
    result = prepare(inputs, settings("ppo", bootstrap_truncated=setting), 0.0)
    torch.testing.assert_close(result.returns, per_token((1.0, after_the_cut, 0.0, 1.0)))


def test_ppo_without_values_says_what_is_missing():
    with pytest.raises(ValueError, match="ppo needs the critic's values"):
        prepare(trajectories(values=None), settings("ppo"), 0.0)


def test_kl_in_the_reward_is_taken_from_every_token():
    inputs = replace(trajectories(), reference_logprobs=torch.full((NUM_TOKENS,), -0.5))  # k1 = 0.5
    kl = KLSettings(coefficient=9.0, estimator="k1", apply_to="reward")
    result = prepare(inputs, settings("reinforce", kl=kl), 0.1)
    assert result.metrics["kl"] == pytest.approx(0.5)
    expected = torch.tensor([0.95, -0.15, -0.10, -0.05, -0.10, -0.05, 0.90, 0.95])
    torch.testing.assert_close(result.advantages, expected)


def test_kl_in_the_loss_leaves_the_rewards_alone():
    inputs = replace(trajectories(), reference_logprobs=torch.full((NUM_TOKENS,), -0.5))
    kl = KLSettings(coefficient=9.0, estimator="k2", apply_to="loss")
    result = prepare(inputs, settings("reinforce", kl=kl), 9.0)
    assert result.metrics["kl"] == pytest.approx(0.5**2 / 2)
    torch.testing.assert_close(result.advantages, per_token(EXPECTED["reinforce"]))


def test_rewards_are_clipped_before_the_baseline():
    result = prepare(trajectories(rewards=(100.0, -5.0, -5.0, 1.0)), settings("rloo", reward_clip=(0.0, 1.0)), 0.0)
    torch.testing.assert_close(result.advantages, per_token(EXPECTED["rloo"]))


def test_discount_runs_over_tokens():
    result = prepare(trajectories(), settings("reinforce", gamma=0.5), 0.0)
    assert result.advantages.tolist() == [1, 0, 0, 0, 0, 0, 0.5, 1]


def test_aggregation_is_the_published_one_unless_set():
    assert [aggregation_of(settings(name)) for name in ("grpo", "dr_grpo", "ppo")] == ["sequence", "constant", "token"]
    assert aggregation_of(settings("grpo", aggregation="token")) == "token"


def test_whitening_is_the_published_one_unless_set():
    assert [whitening_of(settings(name)) for name in ("grpo", "ppo")] == ["none", "batch"]
    result = prepare(trajectories(), settings("reinforce", whitening="group"), 0.0)
    torch.testing.assert_close(result.advantages, per_token(WHITE), rtol=1e-5, atol=1e-6)
    assert prepare(trajectories(), settings("ppo", whitening="none"), 0.0).advantages.equal(per_token(EXPECTED["reinforce"]))


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_settings_refuse_a_group_of_one_exactly_where_the_estimator_does(name):
    single = Trajectories(
        rewards=torch.ones(1),
        valid=torch.ones(1, dtype=torch.bool),
        truncated=torch.zeros(1, dtype=torch.bool),
        lengths=torch.tensor([2]),
        old_logprobs=torch.zeros(2),
        group_size=1,
        values=torch.zeros(2),
    )
    if name not in GROUP_BASELINES:
        prepare(single, AlgorithmSettings(name=name, samples_per_prompt=1), 0.0)
        return
    with pytest.raises(ValueError, match=r"raise algorithm\.samples_per_prompt"):
        prepare(single, settings(name), 0.0)
    with pytest.raises(ValueError, match=r"raise algorithm\.samples_per_prompt"):
        AlgorithmSettings(name=name, samples_per_prompt=1)
