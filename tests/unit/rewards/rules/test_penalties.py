"""Penalties by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmm_r1_mega.rewards.messages import PartialReward, RewardInput, RuleSettings
from lmm_r1_mega.rewards.rules.penalties import overlong_penalty, repetition_penalty
from lmm_r1_mega.rewards.rules.table import score_response


@pytest.mark.parametrize(
    ("num_tokens", "penalty"), [(0, 0), (100, 0), (101, -0.05), (105, -0.25), (110, -0.5), (119, -0.95), (120, -1), (121, -1), (10**9, -1)]
)
def test_length_costs_nothing_then_more_then_all(num_tokens, penalty):
    assert overlong_penalty(num_tokens, free=100, limit=120) == pytest.approx(penalty)


@given(length=st.integers(0, 40_000), limit=st.integers(2, 20_480), buffer=st.integers(1, 20_480))
def test_overlong_is_equation_13_of_dapo(length, limit, buffer):
    buffer = min(buffer, limit)
    if length <= limit - buffer:
        expected = 0.0
    elif length <= limit:
        expected = ((limit - buffer) - length) / buffer
    else:
        expected = -1.0
    assert overlong_penalty(length, free=limit - buffer, limit=limit) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "ngram", "penalty"),
    [
        ("", 2, 0),
        ("a", 2, 0),
        ("a b", 2, 0),
        ("a b a b a", 2, -2 / 4),
        ("A b, a B,", 3, -1 / 4),
        ("a b c d e f", 3, 0),
        ("x x x x x x", 1, -5 / 6),
        ("x x x x x x", 3, -3 / 4),
        ("wait wait\nwait  wait", 2, -2 / 3),
        ("1 + 1 = 2", 1, -1 / 5),
        ("\u5929\u5929\u5929\u5929", 2, -2 / 3),
        ("a" * 64, 2, -2 / 3),
    ],
)
def test_repeated_sequences_are_a_share(text, ngram, penalty):
    assert repetition_penalty(text, ngram=ngram) == pytest.approx(penalty)


def test_the_components_take_their_numbers_from_the_settings():
    terms = RuleSettings(("overlong", "repetition"), overlong=(10, 20), repetition_ngram=2)
    assert score_response(RewardInput("a b a b a", None, num_tokens=15), terms) == PartialReward({"overlong": -0.5, "repetition": -0.5})


def test_a_length_that_nobody_counted_is_a_reason():
    assert score_response(RewardInput("a", None), RuleSettings(("overlong",), overlong=(10, 20))) == PartialReward(
        {}, "unknown number of tokens"
    )
