"""Token losses against numbers worked by hand, identities, and finite differences."""

import pytest
import torch
from torch.autograd import gradcheck

from lmm_r1_mega.algorithms.losses import clipped_policy_loss, clipped_tokens, clipped_value_loss, importance_weights, policy_ratio

OLD = torch.tensor([-1.0], dtype=torch.float64)


def policy_loss(ratio, advantage, **settings):
    """Loss of one token with the given ratio and its gradient with respect to the log-probability."""
    logprobs = (OLD + torch.tensor([ratio], dtype=torch.float64).log()).requires_grad_()
    loss = clipped_policy_loss(
        logprobs, OLD, torch.tensor([advantage], dtype=torch.float64), **{"clip_low": 0.2, "clip_high": 0.2, **settings}
    )
    return loss.item(), torch.autograd.grad(loss.sum(), logprobs)[0].item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.0, 2.0, -2.0, -2.0),
        (1.1, 2.0, -2.2, -2.2),
        (1.5, 2.0, -2.4, 0.0),
        (0.5, 2.0, -1.0, -1.0),
        (1.5, -2.0, 3.0, 3.0),
        (0.5, -2.0, 1.6, 0.0),
        (0.9, -2.0, 1.8, 1.8),
    ],
)
def test_policy_loss_by_hand(ratio, advantage, loss, gradient):
    assert policy_loss(ratio, advantage) == pytest.approx((loss, gradient), rel=1e-12)


def test_the_two_clips_are_apart():
    assert policy_loss(1.25, 1.0, clip_low=0.1, clip_high=0.3) == pytest.approx((-1.25, -1.25))
    assert policy_loss(1.35, 1.0, clip_low=0.1, clip_high=0.3) == pytest.approx((-1.3, 0.0))
    assert policy_loss(0.85, -1.0, clip_low=0.1, clip_high=0.3) == pytest.approx((0.9, 0.0))


def test_dual_clip_bounds_only_negative_advantages():
    assert policy_loss(5.0, -2.0, dual_clip=3.0) == pytest.approx((6.0, 0.0))
    assert policy_loss(2.0, -2.0, dual_clip=3.0) == pytest.approx((4.0, 4.0))
    assert policy_loss(0.1, 2.0, dual_clip=3.0) == pytest.approx((-0.2, -0.2))


def test_at_ratio_one_the_loss_is_minus_the_advantage_and_its_gradient_reinforce():
    logprobs = torch.randn(50, requires_grad=True)
    advantages = torch.randn(50)
    loss = clipped_policy_loss(logprobs, logprobs.detach(), advantages, clip_low=0.2, clip_high=0.2, dual_clip=3.0)
    assert policy_ratio(logprobs, logprobs.detach()).eq(1).all()
    assert loss.equal(-advantages)
    assert torch.autograd.grad(loss.sum(), logprobs)[0].equal(-advantages)


@pytest.mark.parametrize("dual_clip", [None, 2.0])
def test_policy_gradient_by_finite_differences(dual_clip):
    torch.manual_seed(0)
    old = torch.randn(64, dtype=torch.float64)
    logprobs = (old + 0.5 * torch.randn(64, dtype=torch.float64)).requires_grad_()
    advantages = torch.randn(64, dtype=torch.float64)
    assert gradcheck(lambda x: clipped_policy_loss(x, old, advantages, clip_low=0.1, clip_high=0.3, dual_clip=dual_clip), (logprobs,))


def test_an_absurd_token_keeps_loss_and_gradient_finite():
    logprobs = torch.tensor([0.0, 0.0], requires_grad=True)
    loss = clipped_policy_loss(logprobs, torch.tensor([-500.0, -500.0]), torch.tensor([0.0, -1.0]), clip_low=0.2, clip_high=0.2)
    assert torch.isfinite(loss).all()
    assert torch.isfinite(torch.autograd.grad(loss.sum(), logprobs)[0]).all()


def test_clipped_tokens_are_those_without_a_gradient():
    torch.manual_seed(0)
    old, advantages = torch.randn(200), torch.randn(200)
    logprobs = (old + 0.5 * torch.randn(200)).requires_grad_()
    loss = clipped_policy_loss(logprobs, old, advantages, clip_low=0.1, clip_high=0.3)
    silent = torch.autograd.grad(loss.sum(), logprobs)[0] == 0
    clipped = clipped_tokens(logprobs, old, advantages, clip_low=0.1, clip_high=0.3)
    assert clipped.low.any() and clipped.high.any() and not (clipped.low & clipped.high).any()
    assert (clipped.low | clipped.high).equal(silent)


@pytest.mark.parametrize(
    ("value", "old", "target", "loss", "gradient"),
    [(2.0, 1.0, 0.0, 2.0, 2.0), (2.0, 1.0, 3.0, 1.125, 0.0), (1.2, 1.0, 3.0, 1.62, -1.8), (0.0, 1.0, 3.0, 4.5, -3.0)],
)
def test_value_loss_by_hand(value, old, target, loss, gradient):
    values = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    result = clipped_value_loss(values, torch.tensor([old], dtype=torch.float64), torch.tensor([target], dtype=torch.float64), clip=0.5)
    assert result.item() == pytest.approx(loss, rel=1e-12)
    assert torch.autograd.grad(result.sum(), values)[0].item() == pytest.approx(gradient, rel=1e-12)


def test_value_gradient_by_finite_differences():
    torch.manual_seed(0)
    values, old, returns = torch.randn(3, 64, dtype=torch.float64)
    assert gradcheck(lambda x: clipped_value_loss(x, old, returns, clip=0.5), (values.clone().requires_grad_(),))


def test_importance_weights_correct_towards_the_trainer():
    trainer = torch.tensor([0.2, 0.4, 0.9], dtype=torch.float64, requires_grad=True)
    rollout = torch.tensor([0.4, 0.4, 0.1], dtype=torch.float64)
    weights = importance_weights(trainer.log(), rollout.log(), 2.0)
    torch.testing.assert_close(weights, torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64))
    assert not weights.requires_grad
