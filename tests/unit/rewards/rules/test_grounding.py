"""Boxes and points of an answer, and what they earn."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmm_r1_mega.rewards.messages import RewardInput, RuleSettings
from lmm_r1_mega.rewards.rules.grounding import best_pairing, boxes_in, iou, mean_iou, points_in, share_hit
from lmm_r1_mega.rewards.rules.table import score_response


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2, 30.5, 40]",
        "(1,2,30.5,40)",
        '{"bbox_2d": [1, 2, 30.5, 40], "label": "cat"}',
        '```json\n[\n\t{"bbox_2d": [1, 2, 30.5, 40], "label": "a [very] big cat (2)"}\n]\n```',
        "$\\boxed{[1, 2, 30.5, 40]}$",
        "The box is [ 1 ,2, 30.50, +40. ].",
        "[[1, 2, 30.5, 40]]",
    ],
)
def test_a_box_in_any_dress(text):
    assert boxes_in(text) == [(1, 2, 30.5, 40)]


def test_boxes_come_in_order():
    text = '[{"bbox_2d": [1, 2, 3, 4], "label": "a"}, {"bbox_2d": [-5, 6, 7, 8]}]'
    assert boxes_in(text) == boxes_in("[[1,2,3,4],[-5,6,7,8]]") == [(1, 2, 3, 4), (-5, 6, 7, 8)]


@pytest.mark.parametrize("text", ["", "1, 2, 3, 4", "[1, 2, 3]", "[1, 2, 3, 4, 5]", "[a, b, c, d]", "[1 2 3 4]", f"[1, 2, 3, {'9' * 400}]"])
def test_what_is_no_box(text):
    assert boxes_in(text) == []


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("(3, 4)", [(3, 4)]),
        ('{"point_2d": [3, 4], "label": "x"}', [(3, 4)]),
        ("[[3, 4], [5, 6.5]]", [(3, 4), (5, 6.5)]),
        ("[10, 20, 30, 50]", [(20, 35)]),
        ("(3, 4) in [10, 20, 30, 50]", [(3, 4)]),
        ("3, 4", []),
    ],
)
def test_points_or_else_the_middles_of_boxes(text, points):
    assert points_in(text) == points


@pytest.mark.parametrize(
    ("a", "b", "value"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1),
        ((0, 0, 2, 2), (1, 0, 3, 2), 1 / 3),
        ((0, 0, 2, 2), (1, 1, 3, 3), 1 / 7),
        ((0, 0, 4, 4), (1, 1, 2, 3), 2 / 16),
        ((0, 0, 2, 2), (2, 0, 4, 2), 0),
        ((0, 0, 2, 2), (5, 5, 6, 6), 0),
        ((2, 2, 0, 0), (0, 0, 2, 2), 0),
        ((1, 1, 1, 1), (1, 1, 1, 1), 0),
    ],
)
def test_iou_by_hand(a, b, value):
    assert iou(a, b) == iou(b, a) == pytest.approx(value)


SPAN = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(sorted)
BOX = st.tuples(SPAN, SPAN).map(lambda spans: (spans[0][0], spans[1][0], spans[0][1], spans[1][1]))


@settings(derandomize=True)
@given(a=BOX, b=BOX)
def test_iou_counts_the_squares_of_a_grid(a, b):
    one, other = ({(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])} for box in (a, b))
    assert iou(a, b) == pytest.approx(len(one & other) / len(one | other) if one & other else 0.0)


TABLE = st.integers(1, 4).flatmap(
    lambda rows: st.integers(rows, 5).flatmap(
        lambda columns: st.lists(
            st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=columns, max_size=columns), min_size=rows, max_size=rows
        )
    )
)


@settings(derandomize=True, max_examples=200)
@given(table=TABLE)
def test_the_best_pairing_is_the_best_of_all(table):
    every = (
        sum(row[column] for row, column in zip(table, columns, strict=True)) for columns in permutations(range(len(table[0])), len(table))
    )
    assert best_pairing(table) == max(every)


LEFT, RIGHT, FAR = (0, 0, 2, 2), (4, 0, 6, 2), (50, 50, 60, 60)


def test_boxes_are_matched_and_one_too_many_or_too_few_costs_its_share():
    assert mean_iou([RIGHT, LEFT], [LEFT, RIGHT]) == 1
    assert mean_iou([LEFT], [LEFT, RIGHT]) == mean_iou([LEFT, FAR], [LEFT, RIGHT]) == 0.5
    assert mean_iou([LEFT, RIGHT, FAR], [LEFT]) == pytest.approx(1 / 3)
    assert mean_iou([LEFT, LEFT], [LEFT, RIGHT]) == 0.5
    assert mean_iou([], [LEFT]) == 0


def test_the_nearest_box_is_not_always_the_best_match():
    near_both, near_first = (0, 0, 10, 8), (0, 0, 10, 7)
    gold = [(0, 0, 10, 10), (0, 0, 10, 5)]
    assert mean_iou([near_both, near_first], gold) == pytest.approx((8 / 10 + 5 / 7) / 2)


def test_every_point_hits_one_box():
    assert share_hit([(1, 1)], [LEFT]) == share_hit([(0, 2)], [LEFT]) == 1
    assert share_hit([(3, 1)], [LEFT]) == share_hit([], [LEFT]) == 0
    assert share_hit([(1, 1), (1.5, 1)], [LEFT, RIGHT]) == 0.5
    assert share_hit([(5, 1), (1, 1)], [LEFT, RIGHT]) == 1
    assert share_hit([(5, 1), (1, 1), (1, 2), (1, 0)], [LEFT, RIGHT]) == 0.5


def grounded(answer: str, gold: object, name: str):
    return score_response(RewardInput(f"<think> [4, 0, 6, 2] </think><answer> {answer} </answer>", gold), RuleSettings(("format", name)))


@pytest.mark.parametrize("gold", ["[4, 0, 6, 2]", '{"bbox_2d": [4, 0, 6, 2]}', "[[4, 0, 6, 2]]"])
def test_the_components_read_the_answer_block_alone(gold):
    assert grounded('{"bbox_2d": [5, 0, 7, 2]}', gold, "iou").parts["iou"] == pytest.approx(1 / 3)
    assert grounded("no idea", gold, "iou").parts["iou"] == 0
    assert grounded("[5, 1]", gold, "point_in_box").parts["point_in_box"] == 1
    assert grounded("no idea", gold, "point_in_box").parts["point_in_box"] == 0


@pytest.mark.parametrize("name", ["iou", "point_in_box"])
@pytest.mark.parametrize("gold", [None, "", "3", 3, "[1, 2]", "[2, 2, 1, 1]", "[[0, 0, 1, 1], [3, 3, 3, 3]]"])
def test_a_gold_answer_without_boxes_is_a_reason(gold, name):
    assert "gold answer" in grounded("[1, 2, 3, 4]", gold, name).invalid
