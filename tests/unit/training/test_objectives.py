"""What a row adds to a step, by hand."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import pytest
import torch

from lmm_r1_mega.algorithms.losses import Clip, PolicyLoss
from lmm_r1_mega.algorithms.ratios import Importance
from lmm_r1_mega.training.objectives import (
    PolicyTokens,
    ValueTokens,
    means,
    policy_objective,
    sft_objective,
    value_objective,
)
from lmm_r1_mega.training.vocab_parallel import TokenScores

LOSS = PolicyLoss(Clip(0.2, 0.3), temperature=1.0)
SCORES = TokenScores(logprobs=torch.tensor([-1.0, -2.0, -3.0]), entropy=torch.tensor([1.0, 2.0, 4.0]))
"""With the old log-probabilities below the ratios are 1, 2 and 1/2."""
TOKENS = PolicyTokens(
    segments=torch.tensor([0, 1, 1]),
    weights=torch.tensor([0.5, 0.25, 0.25]),
    advantages=torch.tensor([2.0, 1.0, -1.0]),
    old_logprobs=torch.tensor([-1.0, -2.0 - log(2), -3.0 + log(2)]),
    rollout_logprobs=torch.tensor([-1.0, -2.0 - log(2), -3.0 + log(2) - log(4)]),
    reference_logprobs=torch.tensor([-1.0, -2.0, -4.0]),
)


def test_clipped_loss_and_metrics() -> None:
    loss, sums, extremes = policy_objective(SCORES, TOKENS, LOSS)
    assert extremes["ratio"].tolist() == pytest.approx([0.5, 2])
    assert loss.item() == pytest.approx(0.5 * -2 + 0.25 * -1.3 + 0.25 * 0.8)
    assert means({name: value.item() for name, value in sums.items()}) == pytest.approx(
        {
            "entropy": 7 / 3,
            "ratio/mean": 3.5 / 3,
            "ratio/std": (5.25 / 3 - (3.5 / 3) ** 2) ** 0.5,
            "ratio/ess": 3.5**2 / (3 * 5.25),
            "approx_kl": (0 + (2 - 1 - log(2)) + (0.5 - 1 + log(2))) / 3,
            "clip_ratio/low_mean": 1 / 3,
            "clip_ratio/high_mean": 1 / 3,
            "clip_ratio/region_mean": 2 / 3,
            "kl": (exp(-1) - 1 + 1) / 3,
        }
    )


def test_without_old_log_probabilities_they_are_the_present_ones() -> None:
    present = policy_objective(SCORES, replace(TOKENS, old_logprobs=SCORES.logprobs), LOSS)
    left_out = policy_objective(SCORES, replace(TOKENS, old_logprobs=None), LOSS)
    assert left_out.loss.item() == present.loss.item() == pytest.approx(-(0.5 * 2 + 0.25 * 1 - 0.25 * 1))
    assert left_out.sums == present.sums


def test_further_terms() -> None:
    plain = policy_objective(SCORES, TOKENS, LOSS).loss.item()
    with_entropy = policy_objective(SCORES, TOKENS, replace(LOSS, entropy_coefficient=0.1)).loss.item()
    assert with_entropy - plain == pytest.approx(-0.1 * (0.5 * 1 + 0.25 * 2 + 0.25 * 4))
    with_kl = policy_objective(SCORES, TOKENS, replace(LOSS, kl_coefficient=0.2, kl_estimator="k1")).loss.item()
    assert with_kl - plain == pytest.approx(0.2 * 0.25 * 1)
    capped = policy_objective(SCORES, TOKENS, replace(LOSS, importance=Importance(cap=3.0))).loss.item()
    assert capped - plain == pytest.approx(0.25 * 0.8 * 2)


def test_policy_losses_are_chosen_by_name() -> None:
    """The second response has the ratios 2 and 1/2, so 1 as a whole."""
    gspo, sums, extremes = policy_objective(SCORES, TOKENS, replace(LOSS, name="gspo"))
    assert gspo.item() == pytest.approx(-0.5 * 2 - 0.25 * 1 + 0.25 * 1)
    assert sums["clip_ratio/region_mean"] == 0 and extremes["ratio"].tolist() == pytest.approx([1, 1])
    cispo, sums, _ = policy_objective(SCORES, TOKENS, replace(LOSS, name="cispo"))
    assert cispo.item() == pytest.approx(0.5 * 2 * 1 + 0.25 * 1.3 * 2 - 0.25 * 0.8 * 3)
    assert sums["clip_ratio/region_mean"] == 2


def test_a_whole_response_is_weighed_for_its_mismatch() -> None:
    plain = policy_objective(SCORES, TOKENS, LOSS).loss.item()
    capped = policy_objective(SCORES, TOKENS, replace(LOSS, importance=Importance("sequence", cap=3.0))).loss.item()
    assert capped - plain == pytest.approx(2 * (-0.25 * 1.3 + 0.25 * 0.8))
    masked = policy_objective(SCORES, TOKENS, replace(LOSS, importance=Importance("sequence", bounds=(0.5, 2.0))))
    assert masked.loss.item() == pytest.approx(-0.5 * 2)
    assert (masked.sums["importance/mean"], masked.sums["importance/masked_ratio"]) == (1, 2)


def test_the_kl_is_weighed_with_the_ratio() -> None:
    plain = policy_objective(SCORES, TOKENS, LOSS).loss.item()
    weighed = policy_objective(SCORES, TOKENS, replace(LOSS, kl_coefficient=0.2, kl_weighted=True)).loss.item()
    assert weighed - plain == pytest.approx(0.2 * 0.25 * 0.5 * exp(-1), abs=1e-7)


def test_without_a_trained_token_there_are_no_figures() -> None:
    _, sums, extremes = policy_objective(SCORES, replace(TOKENS, weights=torch.zeros(3)), LOSS)
    assert means({name: value.item() for name, value in sums.items()}) == {}
    assert extremes["ratio"].tolist() == [float("inf"), float("-inf")]


def test_a_token_without_weight_is_not_there() -> None:
    weightless = replace(TOKENS, weights=torch.tensor([0.5, 0.0, 0.25]))
    loss, sums, extremes = policy_objective(SCORES, weightless, LOSS)
    assert extremes["ratio"].tolist() == pytest.approx([0.5, 1])
    assert loss.item() == pytest.approx(0.5 * -2 + 0.25 * 0.8)
    assert sums["num_tokens"] == 2
    assert sums["entropy"] == 5
    assert sums["approx_kl"].item() == pytest.approx(0.5 - 1 + log(2))  # KL(old || present): of its two signs one token is left


def test_without_reference_there_is_no_kl() -> None:
    bare = replace(TOKENS, reference_logprobs=None)
    sums = policy_objective(SCORES, bare, LOSS).sums
    assert "kl" not in means({name: value.item() for name, value in sums.items()})
    with pytest.raises(ValueError, match=r"algorithm\.kl\.coefficient"):
        policy_objective(SCORES, bare, replace(LOSS, kl_coefficient=0.1))


def test_value_loss() -> None:
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    tokens = ValueTokens(weights=torch.tensor([0.5, 0.5]), returns=torch.tensor([0.0, 3.0]), old_values=torch.tensor([1.0, 1.0]))
    loss, sums, _ = value_objective(values, tokens, clip=0.5)
    assert loss.item() == pytest.approx(0.5 * 0.5 + 0.5 * 1.125)
    loss.backward()
    assert values.grad.tolist() == [0.5, 0.0]
    assert (sums["value/mean"], sums["value/error"], sums["value/clip_ratio"]) == (3, 2, 1)


def test_sft_loss() -> None:
    loss, sums, _ = sft_objective(SCORES, torch.tensor([0.5, 0.5, 0.0]))
    assert loss.item() == 1.5
    assert (sums["logprob"], sums["num_tokens"]) == (-3, 2)
