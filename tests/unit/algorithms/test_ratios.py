"""Ratios and importance weights against numbers worked by hand."""

import pytest
import torch

from lmm_r1_mega.algorithms.ratios import Importance, importance_weights, policy_ratio, segment_sums, sequence_ratio

TRAINER = torch.tensor([0.2, 0.4, 0.8, 0.9], dtype=torch.float64)
ROLLOUT = torch.tensor([0.4, 0.4, 0.2, 0.1], dtype=torch.float64)
"""Token ratios 1/2, 1, 4 and 9."""
SEGMENTS = torch.tensor([0, 0, 1, 1])
"""Ratios of the responses: 1/2 and 36."""


@pytest.mark.parametrize(
    ("importance", "expected"),
    [
        (Importance(cap=2.0), [0.5, 1, 2, 2]),
        (Importance(bounds=(0.5, 5.0)), [0.5, 1, 4, 0]),
        (Importance(bounds=(0.6, 5.0), cap=2.0), [0, 1, 2, 0]),
        (Importance("sequence", cap=2.0), [0.5, 0.5, 2, 2]),
        (Importance("sequence", bounds=(0.1, 40.0)), [0.5, 0.5, 36, 36]),
        (Importance("sequence", bounds=(0.5, 5.0)), [0.5, 0.5, 0, 0]),
    ],
)
def test_importance_weights_by_hand(importance, expected):
    trainer = TRAINER.log().requires_grad_()
    weights = importance_weights(trainer, ROLLOUT.log(), SEGMENTS, importance)
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float64))
    assert not weights.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_policies_have_ratios_of_exactly_one(dtype):
    logprobs = torch.randn(100, dtype=dtype)
    segments = torch.arange(100) // 7
    for ratio in (policy_ratio(logprobs, logprobs.clone()), sequence_ratio(logprobs, logprobs.clone(), segments)):
        assert ratio.dtype == dtype and ratio.eq(1).all()


def test_sums_of_segments_by_hand():
    numbers = torch.tensor([1.0, 2.0, 4.0, 8.0])
    assert segment_sums(numbers, torch.tensor([0, 0, 2, 2])).tolist() == [3, 3, 12, 12]
    assert segment_sums(numbers[:0], SEGMENTS[:0]).tolist() == []
