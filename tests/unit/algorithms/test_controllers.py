"""Controllers against numbers worked by hand, the way back, and what a checkpoint keeps."""

import pytest
import torch

from lmm_r1_mega.algorithms.controllers import AdaptiveCoefficient, FixedCoefficient, ReturnScale, make_controllers
from lmm_r1_mega.config.reading import parse_tree


def controllers(**sections):
    return make_controllers(parse_tree(sections, source="test"))


def test_without_targets_nothing_moves():
    made = controllers(algorithm={"kl": {"coefficient": 0.1}, "entropy_coefficient": 0.01})
    for one in (made.kl, made.entropy):
        one.update(5.0, num_samples=1000)
    made.returns.update(3.0, 2.0)
    assert (made.kl, made.entropy) == (FixedCoefficient(0.1), FixedCoefficient(0.01))
    numbers = torch.randn(10)
    assert made.returns.to_critic(numbers).equal(numbers) and made.returns.from_critic(numbers).equal(numbers)


@pytest.mark.parametrize(
    ("kl", "expected"),
    [(1.1, 0.1 * (1 + 0.1 * 10 / 100)), (0.95, 0.1 * (1 - 0.05 * 10 / 100)), (9.0, 0.1 * 1.02), (0.0, 0.1 * 0.98)],
)
def test_a_penalty_grows_with_what_exceeds_its_target(kl, expected):
    made = controllers(algorithm={"kl": {"coefficient": 0.1, "target": 1.0, "horizon": 100}})
    made.kl.update(kl, num_samples=10)
    assert made.kl.coefficient == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("entropy", "expected"),
    [(0.45, 0.01 * (1 + 0.1 * 100 / 10_000)), (0.55, 0.01 * (1 - 0.1 * 100 / 10_000)), (0.0, 0.01 * 1.002), (9.0, 0.01 * 0.998)],
)
def test_a_bonus_grows_with_what_is_short_of_its_target(entropy, expected):
    made = controllers(algorithm={"entropy_coefficient": 0.01, "entropy_target": 0.5})
    made.entropy.update(entropy, num_samples=100)
    assert made.entropy.coefficient == pytest.approx(expected, rel=1e-12)


def test_a_step_beyond_the_horizon_moves_by_the_whole_error_and_no_further():
    controller = AdaptiveCoefficient(0.1, target=1.0, horizon=100)
    controller.update(0.0, num_samples=1000)
    assert controller.coefficient == pytest.approx(0.08, rel=1e-12)


def test_the_scale_of_returns_by_hand():
    scale = ReturnScale(moving=True)
    scale.update(mean=1.0, std=0.0)
    scale.update(mean=3.0, std=0.0)
    assert (scale.mean, scale.std) == (2.0, 1.0)
    assert scale.to_critic(torch.tensor([1.0, 2.0, 4.0])).tolist() == [-1.0, 0.0, 2.0]
    scale.update(mean=2.0, std=2.0)  # squares 1, 9 and 8
    assert (scale.mean, scale.std) == (2.0, pytest.approx(2**0.5))


def test_the_scale_of_equal_steps_is_that_of_all_their_returns():
    steps = torch.randn(50, 20, dtype=torch.float64) * 3 + 5
    scale = ReturnScale(moving=True)
    for step in steps:
        scale.update(float(step.mean()), float(step.std(correction=0)))
    assert scale.mean == pytest.approx(float(steps.mean()), rel=1e-12)
    assert scale.std == pytest.approx(float(steps.std(correction=0)), rel=1e-12)
    numbers = torch.randn(10, dtype=torch.float64)
    torch.testing.assert_close(scale.from_critic(scale.to_critic(numbers)), numbers)


def test_a_long_run_forgets_its_beginning():
    scale = ReturnScale(moving=True)
    for mean in [100.0] * 100 + [1.0] * 1000:
        scale.update(mean, std=0.0)
    assert scale.mean == pytest.approx(1 + 99 * 0.99**1000, rel=1e-9)


def test_equal_returns_are_not_blown_up():
    scale = ReturnScale(moving=True)
    scale.update(mean=1.0, std=0.0)
    assert scale.to_critic(torch.tensor([1.0, 1.0001])).abs().max() <= 1.01


def test_restored_controllers_go_on_as_the_first():
    asked = {
        "algorithm": {"kl": {"coefficient": 0.1, "target": 1.0}, "entropy_coefficient": 0.01, "entropy_target": 0.5},
        "critic": {"normalize_returns": True},
    }
    first, second = controllers(**asked), controllers(**asked)
    steps = [(2.0, 0.1, 10), (0.5, 0.9, 7)]
    for kl, entropy, count in steps:
        for one in (first, second):
            one.kl.update(kl, count)
            one.entropy.update(entropy, count)
            one.returns.update(kl, entropy)
        second = controllers(**asked)
        second.restore(first.state())
    assert first == second
    assert first.metrics() == {"kl_coefficient": first.kl.coefficient, "entropy_coefficient": first.entropy.coefficient}
    assert first != controllers(**asked)
