"""Moves of an answer, and what they earn."""

import random
from itertools import islice
from statistics import fmean

import pytest

from lmm_r1_mega.rewards.messages import RewardInput, RuleSettings
from lmm_r1_mega.rewards.rules.sokoban import best_return, is_solution, moves_in
from lmm_r1_mega.rewards.rules.sokoban_room import draw_room, parse_room
from lmm_r1_mega.rewards.rules.table import score_response
from tools.sokoban_levels import Difficulty, make_levels

UP_UP_LEFT = ["up", "up", "left"]
TWO = parse_room("#######\n#@$ .##\n#  $. #\n#######")
"""The upper box needs two pushes to the right, the lower one."""


@pytest.mark.parametrize(
    "text",
    [
        "up, up, left", "Up up LEFT", "UUL", "u u l", "U, U, L", '["up", "up", "left"]', "\\boxed{U U L}", "\\boxed{\\text{up, up, left}}",
        "\u2191\u2191\u2190", "up -> up -> left", "up \u2192 up \u2192 left",
        "up \\rightarrow up \\to left", "1. up\n2. up\n3. left\n", "`uul`",
        "UU left",
    ],
)  # fmt: skip
def test_moves_in_any_dress(text):
    assert moves_in(text) == UP_UP_LEFT


@pytest.mark.parametrize("text", ["", "...", "go up", "up then left", "uulx", "up 2 times", "north", "123", "upup"])
def test_what_is_no_list_of_moves(text):
    assert moves_in(text) == []


@pytest.mark.parametrize(
    ("moves", "earned"),
    [
        ("", -0.1),
        ("l", -0.1),
        ("llllllll", -0.1),
        ("r", -0.1),
        ("rr", 1 - 0.2),
        ("rrllllll", 1 - 0.2),
        ("llrr", 1 - 0.4),
        ("drr", 1 - 0.3),
        ("rrldr", 2 + 10 - 0.5),
        ("rrlldrr", 2 + 10 - 0.7),
        ("rrldrrlrl", 2 + 10 - 0.5),
    ],
)
def test_returns_by_hand(moves, earned):
    assert best_return(TWO, moves_in(moves)) == pytest.approx(earned)


@pytest.mark.parametrize(("moves", "earned"), [("r", -1.1), ("rr", -0.2), ("l", -0.1)])
def test_a_box_that_leaves_its_target_is_lost_until_it_is_back(moves, earned):
    corridor = parse_room("########\n#@* .$ #\n########")
    assert best_return(corridor, moves_in(moves)) == pytest.approx(earned)


@pytest.mark.parametrize("difficulty", [Difficulty(), Difficulty(boxes=2)])
def test_a_solution_earns_all_and_twenty_arbitrary_moves_nothing(difficulty):
    rng = random.Random(0)
    lucky = []
    for level in islice(make_levels(difficulty, seed=5), 40):
        full = 10 + difficulty.boxes - 0.1 * len(level.solution)
        assert is_solution(level.room, list(level.solution))
        assert best_return(level.room, list(level.solution)) == pytest.approx(full)
        lucky += [best_return(level.room, rng.choices(["up", "down", "left", "right"], k=20)) for _ in range(50)]
    assert fmean(lucky) < 0
    assert max(lucky) > 0


def test_the_components_play_the_answer_in_the_gold_answers_room():
    def parts(answer, gold, names=("format", "sokoban", "solved")):
        return score_response(RewardInput(f"<think> rrldr </think><answer> {answer} </answer>", gold), RuleSettings(names))

    gold = draw_room(TWO)
    assert parts("RRLDR", gold).parts == {"format": 1.0, "sokoban": pytest.approx(11.5), "solved": 1.0}
    assert parts("right, right", gold).parts == {"format": 1.0, "sokoban": pytest.approx(0.8), "solved": 0.0}
    assert parts("no idea", gold).parts == {"format": 1.0, "sokoban": -0.1, "solved": 0.0}
    assert [parts("u", answer, ("solved",)).invalid for answer in (None, "5", 5)] == ["missing gold answer"] + 2 * [
        "gold answer is no room"
    ]
