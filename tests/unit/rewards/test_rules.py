"""The parts of one response, as the table of rules gives them."""

import pytest

from lmm_r1_mega.rewards.measures import MEASURES, measure_of
from lmm_r1_mega.rewards.messages import RewardInput, Terms, Verdict
from lmm_r1_mega.rewards.rule_names import COMPARE, RULE_NAMES
from lmm_r1_mega.rewards.rules import RULES, Rule, judge

PROMPT = r"Put the answer in a box, for example <think> so </think> <answer> $\boxed{3}$ </answer>."
BOTH = ("format", "accuracy")


def answered(text: str) -> str:
    return f"<think> hm </think>\n<answer> {text} </answer>"


def parts(response: str, answer: object = "3", names: tuple[str, ...] = BOTH) -> dict[str, float]:
    verdict = judge(RewardInput(response, answer, PROMPT), Terms(names))
    assert verdict.invalid is None
    return verdict.parts


def test_an_empty_response_earns_nothing_whatever_the_prompt_contains():
    assert parts("") == {"format": 0.0, "accuracy": 0.0}


def test_a_right_answer_in_form_earns_both():
    assert parts(answered(r"$\boxed{3}$")) == {"format": 1.0, "accuracy": 1.0}


def test_a_box_in_the_reasoning_does_not_count():
    assert parts(r"<think> \boxed{3} </think> <answer> no idea </answer>") == {"format": 1.0, "accuracy": 0.0}


def test_the_last_box_of_the_answer_block_counts():
    assert parts(answered(r"$\boxed{2}$ or rather $\boxed{3}$"))["accuracy"] == 1.0
    assert parts(answered(r"$\boxed{3}$ or rather $\boxed{2}$"))["accuracy"] == 0.0


def test_without_the_block_that_format_asks_for_there_is_no_answer():
    assert parts(r"\boxed{3}") == {"format": 0.0, "accuracy": 0.0}
    assert parts(r"\boxed{3}", names=("accuracy",)) == {"accuracy": 1.0}


@pytest.mark.parametrize("answer", [3, 3.0, "3", "$3$", r"$\boxed{3}$"])
def test_gold_answers_are_numbers_or_text(answer):
    assert parts(answered("3"), answer)["accuracy"] == 1.0


@pytest.mark.parametrize("answer", [None, "", "$$", "see figure"])
def test_without_a_gold_answer_there_is_no_accuracy_and_a_reason(answer):
    verdict = judge(RewardInput(answered("3"), answer), Terms(BOTH))
    assert verdict.parts == {"format": 1.0}
    assert verdict.invalid.endswith("gold answer")


def test_format_alone_needs_no_gold_answer():
    assert judge(RewardInput(answered("3"), None), Terms(("format",))) == Verdict({"format": 1.0})


def test_an_error_of_a_rule_is_a_reason(monkeypatch):
    def broken(given: RewardInput, terms: Terms) -> float:
        return 1 / len(given.response)

    monkeypatch.setitem(RULES, "broken", Rule(broken))
    assert judge(RewardInput("", None), Terms(("format", "broken"))) == Verdict({"format": 0.0}, "raised ZeroDivisionError")


@pytest.mark.parametrize("weights", [{"format": 1.0, "iou": 0.0, "accuracy": 1.0}, {"sokoban": 1.0, "iou": 1.0}])
def test_the_first_component_that_tells_right_from_wrong_is_measured(weights):
    assert measure_of(weights) == "iou"


def test_a_configuration_that_cannot_tell_right_from_wrong_is_named():
    with pytest.raises(ValueError, match=r"needs one of accuracy, iou, point_in_box, solved in reward.weights, which has format, sokoban"):
        measure_of({"format": 1.0, "sokoban": 1.0})


def test_the_names_are_those_of_the_table():
    assert tuple(RULES) == RULE_NAMES
    assert tuple(name for name, rule in RULES.items() if rule.gold_problem) == COMPARE
    assert set(MEASURES) < set(COMPARE)


def test_nesting_beyond_the_recursion_limit_is_a_reason():
    verdict = judge(RewardInput(answered(r"\boxed{" + r"\sqrt{" * 150 + "2" + "}" * 150 + "}"), "3"), Terms(BOTH))
    assert verdict == Verdict({"format": 1.0}, "recursion limit")


def test_what_measures_is_a_rule():
    assert set(MEASURES) < set(RULES)
