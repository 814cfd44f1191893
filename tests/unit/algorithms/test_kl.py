"""KL estimates and controllers against numbers worked by hand and the exact divergence."""

import math

import pytest
import torch

from lmm_r1_mega.algorithms.kl import AdaptiveKL, FixedKL, kl_controller, kl_estimate
from lmm_r1_mega.config import KLSettings


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


def test_fixed_controller_stays():
    controller = kl_controller(KLSettings(coefficient=0.1))
    controller.update(kl=5.0, num_samples=1000)
    assert controller == FixedKL(0.1)


@pytest.mark.parametrize(
    ("kl", "expected"),
    [(1.1, 0.1 * (1 + 0.1 * 10 / 100)), (0.95, 0.1 * (1 - 0.05 * 10 / 100)), (9.0, 0.1 * 1.02), (0.0, 0.1 * 0.98)],
)
def test_adaptive_controller_by_hand(kl, expected):
    controller = kl_controller(KLSettings(coefficient=0.1, target=1.0, horizon=100))
    controller.update(kl=kl, num_samples=10)
    assert controller.coefficient == pytest.approx(expected, rel=1e-12)


def test_a_step_beyond_the_horizon_moves_by_the_whole_error_and_no_further():
    controller = AdaptiveKL(0.1, target=1.0, horizon=100)
    controller.update(kl=0.0, num_samples=1000)
    assert controller.coefficient == pytest.approx(0.08, rel=1e-12)


def test_restored_controller_goes_on_as_the_first():
    first = AdaptiveKL(0.1, target=1.0, horizon=100)
    first.update(kl=2.0, num_samples=10)
    second = AdaptiveKL(0.5, target=1.0, horizon=100)
    second.restore(first.state())
    first.update(kl=0.5, num_samples=7)
    second.update(kl=0.5, num_samples=7)
    assert first == second


def test_target_without_coefficient_is_refused():
    with pytest.raises(ValueError, match=r"set algorithm\.kl\.coefficient"):
        kl_controller(KLSettings(coefficient=0.0, target=0.1))
