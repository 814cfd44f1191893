"""Loss weights against numbers worked by hand, and the means that they stand for."""

import pytest
import torch

from lmm_r1_mega.algorithms.weights import token_weights

LENGTHS = torch.tensor([1, 3, 5])
ALL = torch.tensor([True, True, True])


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [("token", [1 / 9, 1 / 9, 1 / 9]), ("sequence", [1 / 3, 1 / 9, 1 / 15]), ("constant", [1 / 24, 1 / 24, 1 / 24])],
)
def test_weights_by_hand(aggregation, expected):
    torch.testing.assert_close(token_weights(LENGTHS, ALL, aggregation, max_response_tokens=8), torch.tensor(expected))


@pytest.mark.parametrize("aggregation", ["token", "sequence"])
def test_weights_of_a_mean_sum_to_one(aggregation):
    weights = token_weights(LENGTHS, ALL, aggregation, max_response_tokens=8)
    assert (weights * LENGTHS).sum().item() == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("aggregation", ["token", "sequence", "constant"])
def test_an_invalid_or_empty_sample_weighs_nothing_and_does_not_count(aggregation):
    lengths = torch.tensor([1, 7, 3, 0, 5])
    valid = torch.tensor([True, False, True, True, True])
    weights = token_weights(lengths, valid, aggregation, max_response_tokens=8)
    assert weights[[1, 3]].eq(0).all()
    assert weights[[0, 2, 4]].equal(token_weights(LENGTHS, ALL, aggregation, max_response_tokens=8))


@pytest.mark.parametrize("aggregation", ["token", "sequence", "constant"])
def test_a_step_without_a_valid_sample_trains_nothing(aggregation):
    assert token_weights(LENGTHS, ~ALL, aggregation, max_response_tokens=8).eq(0).all()
