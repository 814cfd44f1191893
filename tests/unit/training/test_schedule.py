"""The learning rate by hand."""

from __future__ import annotations

import pytest

from lmm_r1_mega.config import OptimizerSettings
from lmm_r1_mega.training.schedule import learning_rate_share

EXPECTED = {
    "constant": [0.5, 1, 1, 1, 1, 1, 1, 1],
    "linear": [0.5, 1, 0.75, 0.5, 0.25, 0, 0, 0],
    "cosine": [0.5, 1, 0.8535533905932737, 0.5, 0.14644660940672627, 0, 0, 0],
}


@pytest.mark.parametrize("schedule", EXPECTED)
def test_two_warm_steps_of_six(schedule: str) -> None:
    settings = OptimizerSettings(schedule=schedule, warmup_steps=2, final_ratio=0.0)
    shares = [learning_rate_share(step, settings=settings, total_steps=6) for step in range(8)]
    assert shares == pytest.approx(EXPECTED[schedule], abs=1e-15)


def test_without_warm_up_it_starts_at_the_peak_and_ends_at_the_final_ratio() -> None:
    settings = OptimizerSettings(schedule="linear", final_ratio=0.1)
    assert [learning_rate_share(step, settings=settings, total_steps=3) for step in range(4)] == pytest.approx([1, 0.55, 0.1, 0.1])


@pytest.mark.parametrize("schedule", EXPECTED)
def test_a_single_step_has_the_peak(schedule: str) -> None:
    assert learning_rate_share(0, settings=OptimizerSettings(schedule=schedule), total_steps=1) == 1
