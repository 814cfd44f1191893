"""Token losses against numbers worked by hand, identities, and finite differences."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from lmm_r1_mega.algorithms.losses import POLICY_LOSSES, Clip, clipped_value_loss

OLD = torch.tensor([-1.0], dtype=torch.float64)


def token_losses(name, logprobs, old, advantages, clip, segments=None):
    """Loss of each token by a row of the table; every token is a response of its own unless `segments` say otherwise."""
    rule = POLICY_LOSSES[name]
    ratio = rule.ratio(logprobs, old, torch.arange(len(old)) if segments is None else segments)
    return rule.loss(ratio, logprobs, advantages, clip)


def policy_loss(ratio, advantage, *, name="clip", low=0.2, high=0.2, dual=None):
    """Loss of one token with the given ratio and its gradient with respect to the log-probability."""
    logprobs = (OLD + torch.tensor([ratio], dtype=torch.float64).log()).requires_grad_()
    loss = token_losses(name, logprobs, OLD, torch.tensor([advantage], dtype=torch.float64), Clip(low, high, dual))
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
    assert policy_loss(1.25, 1.0, low=0.1, high=0.3) == pytest.approx((-1.25, -1.25))
    assert policy_loss(1.35, 1.0, low=0.1, high=0.3) == pytest.approx((-1.3, 0.0))
    assert policy_loss(0.85, -1.0, low=0.1, high=0.3) == pytest.approx((0.9, 0.0))


def test_dual_clip_bounds_only_negative_advantages():
    assert policy_loss(5.0, -2.0, dual=3.0) == pytest.approx((6.0, 0.0))
    assert policy_loss(2.0, -2.0, dual=3.0) == pytest.approx((4.0, 4.0))
    assert policy_loss(0.1, 2.0, dual=3.0) == pytest.approx((-0.2, -0.2))


@pytest.mark.parametrize("name", ["clip", "gspo"])
def test_at_ratio_one_the_loss_is_minus_the_advantage_and_its_gradient_reinforce(name):
    logprobs = torch.randn(50, requires_grad=True)
    advantages = torch.randn(50)
    loss = token_losses(name, logprobs, logprobs.detach(), advantages, Clip(0.2, 0.2, 3.0), torch.arange(50) // 7)
    assert loss.equal(-advantages)
    assert torch.autograd.grad(loss.sum(), logprobs)[0].equal(-advantages)


@pytest.mark.parametrize("dual_clip", [None, 2.0])
def test_policy_gradient_by_finite_differences(dual_clip):
    torch.manual_seed(0)
    old = torch.randn(64, dtype=torch.float64)
    logprobs = (old + 0.5 * torch.randn(64, dtype=torch.float64)).requires_grad_()
    advantages = torch.randn(64, dtype=torch.float64)
    assert gradcheck(lambda x: token_losses("clip", x, old, advantages, Clip(0.1, 0.3, dual_clip)), (logprobs,))


@pytest.mark.parametrize("name", list(POLICY_LOSSES))
def test_an_absurd_token_keeps_loss_and_gradient_finite(name):
    logprobs = torch.tensor([0.0, 0.0], requires_grad=True)
    loss = token_losses(name, logprobs, torch.tensor([-500.0, -500.0]), torch.tensor([0.0, -1.0]), Clip(0.2, 0.2))
    assert torch.isfinite(loss).all()
    assert torch.isfinite(torch.autograd.grad(loss.sum(), logprobs)[0]).all()


@pytest.mark.parametrize("name", ["clip", "gspo"])
def test_clipped_tokens_are_those_without_a_gradient(name):
    torch.manual_seed(0)
    old, advantages, segments = torch.randn(200), torch.randn(200), torch.arange(200) // 3
    logprobs = (old + 0.5 * torch.randn(200)).requires_grad_()
    clip, rule = Clip(0.1, 0.3), POLICY_LOSSES[name]
    ratio = rule.ratio(logprobs, old, segments)
    silent = torch.autograd.grad(rule.loss(ratio, logprobs, advantages, clip).sum(), logprobs)[0] == 0
    clipped = rule.clipped(ratio, advantages, clip)
    assert clipped.low.any() and clipped.high.any() and not (clipped.low & clipped.high).any()
    assert (clipped.low | clipped.high).equal(silent)


def test_gspo_by_hand():
    """Ratios 4 and 1 of one response have the geometric mean 2, the other response has one token with ratio 1/2."""
    logprobs = torch.tensor([math.log(4), 0.0, math.log(0.5)], dtype=torch.float64, requires_grad=True)
    advantages = torch.tensor([-1.0, -1.0, 2.0], dtype=torch.float64)
    loss = token_losses("gspo", logprobs, torch.zeros(3, dtype=torch.float64), advantages, Clip(0.2, 0.2), torch.tensor([0, 0, 1]))
    torch.testing.assert_close(loss, torch.tensor([2.0, 2.0, -1.0], dtype=torch.float64))
    gradient = torch.autograd.grad(loss.sum(), logprobs)[0]
    torch.testing.assert_close(gradient, torch.tensor([2.0, 2.0, -1.0], dtype=torch.float64))


def test_with_one_advantage_a_response_the_token_variant_has_gspos_gradient():
    torch.manual_seed(0)
    lengths = torch.tensor([1, 4, 7, 20, 2])
    segments = torch.repeat_interleave(torch.arange(5), lengths)
    old = torch.randn(34, dtype=torch.float64)
    logprobs = (old + 0.3 * torch.randn(34, dtype=torch.float64)).requires_grad_()
    of_responses = torch.tensor([1.0, -1.0, 2.0, -0.5, -2.0], dtype=torch.float64)
    by_token = (token_losses("gspo", logprobs, old, of_responses[segments], Clip(0.1, 0.1), segments) / lengths[segments]).sum() / 5
    parts = zip(torch.split(logprobs, lengths.tolist()), torch.split(old, lengths.tolist()), strict=True)
    ratios = torch.stack([(new.sum() - before.sum()).div(len(before)).exp() for new, before in parts])
    published = -torch.minimum(ratios * of_responses, ratios.clamp(0.9, 1.1) * of_responses).mean()
    torch.testing.assert_close(by_token, published)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logprobs)[0] for loss in (by_token, published)))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [(3.0, 1.0, -2 * (math.log(3) - 1), -2.0), (3.0, -1.0, 2 * (math.log(3) - 1), 2.0), (0.1, 2.0, -1.6 * (math.log(0.1) - 1), -1.6)],
)
def test_cispo_by_hand(ratio, advantage, loss, gradient):
    assert policy_loss(ratio, advantage, name="cispo", low=0.2, high=1.0) == pytest.approx((loss, gradient), rel=1e-12)


def test_cispo_counts_every_bounded_weight():
    ratio, advantages = torch.tensor([0.5, 0.5, 1.0, 3.0, 3.0]), torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0])
    clipped = POLICY_LOSSES["cispo"].clipped(ratio, advantages, Clip(0.2, 1.0))
    assert clipped.low.tolist() == [True, True, False, False, False]
    assert clipped.high.tolist() == [False, False, False, True, True]
    assert not POLICY_LOSSES["cispo"].clipped(ratio, advantages, Clip(1.0, 1.0)).low.any()


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
