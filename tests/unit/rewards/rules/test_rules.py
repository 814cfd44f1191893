"""The parts of one response, as the table of rules gives them."""

import pytest

from lmm_r1_mega.rewards.messages import PartialReward, RewardInput, RuleSettings
from lmm_r1_mega.rewards.rules.names import ACCURACY_RULES, RULE_NAMES, accuracy_rule
from lmm_r1_mega.rewards.rules.table import RULES, Rule, check_gold, score_response

BOTH = ("format", "accuracy")


def answered(text: str) -> str:
    return f"<think> hm </think>\n<answer> {text} </answer>"


def test_a_right_answer_in_form_earns_both():
    assert score_response(RewardInput(answered(r"$\boxed{3}$"), "3"), RuleSettings(BOTH)) == PartialReward({"format": 1.0, "accuracy": 1.0})


def test_format_alone_needs_no_gold_answer():
    assert score_response(RewardInput(answered("3"), None), RuleSettings(("format",))) == PartialReward({"format": 1.0})


def test_an_error_of_a_rule_is_a_reason(monkeypatch):
    def broken(given: RewardInput, terms: RuleSettings) -> float:
        return 1 / len(given.response)

    monkeypatch.setitem(RULES, "broken", Rule(broken))
    assert score_response(RewardInput("", None), RuleSettings(("format", "broken"))) == PartialReward(
        {"format": 0.0}, "raised ZeroDivisionError"
    )


def test_memory_that_runs_out_is_the_workers_business(monkeypatch):
    def greedy(given: RewardInput, terms: RuleSettings) -> float:
        raise MemoryError

    monkeypatch.setitem(RULES, "greedy", Rule(greedy, lambda answer: greedy(RewardInput("", answer), RuleSettings(()))))
    for look in (score_response, check_gold):
        with pytest.raises(MemoryError):
            look(RewardInput("", None), RuleSettings(("greedy",)))


@pytest.mark.parametrize("weights", [{"format": 1.0, "iou": 0.0, "accuracy": 1.0}, {"sokoban": 1.0, "iou": 1.0}])
def test_the_first_component_that_tells_right_from_wrong_is_measured(weights):
    assert accuracy_rule(weights) == "iou"


def test_a_configuration_that_cannot_tell_right_from_wrong_is_named():
    with pytest.raises(ValueError, match=r"needs one of accuracy, iou, point_in_box, solved in reward.weights, which has format, sokoban"):
        accuracy_rule({"format": 1.0, "sokoban": 1.0})


def test_the_names_are_those_of_the_table():
    assert tuple(RULES) == RULE_NAMES
    assert {name for name, rule in RULES.items() if rule.gold_problem} == {*ACCURACY_RULES, "sokoban"}


def test_nesting_beyond_the_recursion_limit_is_a_reason():
    scored = score_response(RewardInput(answered(r"\boxed{" + r"\sqrt{" * 150 + "2" + "}" * 150 + "}"), "3"), RuleSettings(BOTH))
    assert scored == PartialReward({"format": 1.0}, "recursion limit")
