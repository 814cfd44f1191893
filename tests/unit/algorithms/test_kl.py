"""KL estimates against numbers worked by hand and the exact divergence."""

import math

import pytest
import torch

from lmm_r1_mega.algorithms.kl import kl_estimate
from lmm_r1_mega.algorithms.ratios import policy_ratio


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        ("k1", [math.log(2), -math.log(2), 0.0]),
        ("k2", [math.log(2) ** 2 / 2, math.log(2) ** 2 / 2, 0.0]),
        ("k3", [0.5 - 1 + math.log(2), 2 - 1 - math.log(2), 0.0]),
    ],
)
def test_estimates_by_hand(estimator, expected):
    policy = torch.tensor([0.8, 0.2, 0.3], dtype=torch.float64).log()
    reference = torch.tensor([0.4, 0.4, 0.3], dtype=torch.float64).log()
    torch.testing.assert_close(kl_estimate(policy, reference, estimator), torch.tensor(expected, dtype=torch.float64))


def test_k1_and_k3_have_the_divergence_as_their_expectation():
    policy = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    reference = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)
    exact = (policy * (policy / reference).log()).sum()
    for estimator in ("k1", "k3"):
        torch.testing.assert_close((policy * kl_estimate(policy.log(), reference.log(), estimator)).sum(), exact)


def test_expected_gradient_of_k2_is_the_divergences():
    reference = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64).log()
    logits = torch.tensor([0.3, -0.1, 0.5], dtype=torch.float64, requires_grad=True)
    policy = logits.log_softmax(0)
    exact = torch.autograd.grad((policy.exp() * (policy - reference)).sum(), logits, retain_graph=True)[0]
    estimate = torch.autograd.grad((policy.exp().detach() * kl_estimate(policy, reference, "k2")).sum(), logits)[0]
    torch.testing.assert_close(estimate, exact)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_equal_policies_have_exactly_no_distance(estimator):
    logprobs = torch.randn(100)
    assert kl_estimate(logprobs, logprobs.clone(), estimator).eq(0).all()


def test_k3_stays_finite_for_an_absurd_token():
    assert torch.isfinite(kl_estimate(torch.tensor([-300.0]), torch.tensor([-1.0]), "k3")).all()


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_with_an_importance_weight_estimate_and_gradient_are_unbiased_after_an_update(estimator):
    """The term of the loss in DeepSeek-V3.2 (2025, section 3.1): ratio x k3, in expectation over the policy that sampled."""
    old, reference = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]], dtype=torch.float64).log()
    logits = torch.tensor([0.3, -0.1, 0.5], dtype=torch.float64, requires_grad=True)
    policy = logits.log_softmax(0)
    exact = (policy.exp() * (policy - reference)).sum()
    estimate = (old.exp() * policy_ratio(policy, old) * kl_estimate(policy, reference, estimator)).sum()
    torch.testing.assert_close(estimate, exact)
    gradients = [torch.autograd.grad(value, logits, retain_graph=True)[0] for value in (estimate, exact)]
    torch.testing.assert_close(*gradients)
