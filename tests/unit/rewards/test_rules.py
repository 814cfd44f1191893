"""The parts of one response, as the table of rules gives them."""

import pytest

from lmm_r1_mega.rewards.messages import RewardInput, Terms, Verdict
from lmm_r1_mega.rewards.rule_names import MEASURES, RULE_NAMES, measure_of
from lmm_r1_mega.rewards.rules import RULES, Rule, gold_verdict, judge

BOTH = ("format", "accuracy")


def answered(text: str) -> str:
    return f"<think> hm </think>\n<answer> {text} </answer>"


def test_a_right_answer_in_form_earns_both():
    assert judge(RewardInput(answered(r"$\boxed{3}$"), "3"), Terms(BOTH)) == Verdict({"format": 1.0, "accuracy": 1.0})


def test_format_alone_needs_no_gold_answer():
    assert judge(RewardInput(answered("3"), None), Terms(("format",))) == Verdict({"format": 1.0})


def test_an_error_of_a_rule_is_a_reason(monkeypatch):
    def broken(given: RewardInput, terms: Terms) -> float:
        return 1 / len(given.response)

    monkeypatch.setitem(RULES, "broken", Rule(broken))
    assert judge(RewardInput("", None), Terms(("format", "broken"))) == Verdict({"format": 0.0}, "raised ZeroDivisionError")


def test_memory_that_runs_out_is_the_workers_business(monkeypatch):
    def greedy(given: RewardInput, terms: Terms) -> float:
        raise MemoryError

    monkeypatch.setitem(RULES, "greedy", Rule(greedy, lambda answer: greedy(RewardInput("", answer), Terms(()))))
    for look in (judge, gold_verdict):
        with pytest.raises(MemoryError):
            look(RewardInput("", None), Terms(("greedy",)))


@pytest.mark.parametrize("weights", [{"format": 1.0, "iou": 0.0, "accuracy": 1.0}, {"sokoban": 1.0, "iou": 1.0}])
def test_the_first_component_that_tells_right_from_wrong_is_measured(weights):
    assert measure_of(weights) == "iou"


def test_a_configuration_that_cannot_tell_right_from_wrong_is_named():
    with pytest.raises(ValueError, match=r"needs one of accuracy, iou, point_in_box, solved in reward.weights, which has format, sokoban"):
        measure_of({"format": 1.0, "sokoban": 1.0})


def test_the_names_are_those_of_the_table():
    assert tuple(RULES) == RULE_NAMES
    assert {name for name, rule in RULES.items() if rule.gold_problem} == {*MEASURES, "sokoban"}


def test_nesting_beyond_the_recursion_limit_is_a_reason():
    verdict = judge(RewardInput(answered(r"\boxed{" + r"\sqrt{" * 150 + "2" + "}" * 150 + "}"), "3"), Terms(BOTH))
    assert verdict == Verdict({"format": 1.0}, "recursion limit")
