import random

import pytest

from examples.quickstart.problems import HELD_OUT, TRAINING, guessed_answer, is_held_out, text_question, undercounted, worked_answer


def test_the_documented_examples():
    assert text_question((7, 2, 8)) == "What is 7 + 2 + 8 ?"
    assert worked_answer((7, 2, 8)) == r"<think> 7 + 2 = 9 + 8 = 17 </think> <answer> $\boxed{17}$ </answer>"
    rng = random.Random(0)
    guesses = {guessed_answer((7, 2, 8), rng) for _ in range(200)}
    assert guesses == {rf"<think> about {n} </think> <answer> $\boxed{{{n}}}$ </answer>" for n in range(14, 21)}


def test_a_guess_is_never_below_one():
    rng = random.Random(0)
    assert {guessed_answer((1, 1, 1), rng).split()[2] for _ in range(100)} == {"1", "2", "3", "4", "5", "6"}


def test_every_problem_is_on_one_side():
    assert len(TRAINING) + len(HELD_OUT) == 9**3
    assert not set(TRAINING) & set(HELD_OUT)
    assert len(HELD_OUT) == 86


def test_the_split_does_not_change():
    """Weights that ship were trained on one side of it."""
    assert [is_held_out(operands) for operands in ((1, 1, 7), (8, 3, 5), (6, 3, 6))] == [True, False, False]


@pytest.mark.parametrize(("probability", "seen"), [(0.0, (6, 7, 9)), (1.0, (6, 6, 8))])
def test_only_large_counts_are_miscounted(probability, seen):
    assert undercounted((6, 7, 9), probability=probability, rng=random.Random(0)) == seen
