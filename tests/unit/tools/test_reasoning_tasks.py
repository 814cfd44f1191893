"""Which of reasoning-gym's tasks are used, and their rows."""

import sys

import pytest

from lmm_r1_mega.rewards.answers.equality import gold_problem, is_correct
from lmm_r1_mega.rewards.answers.extract import gold_text
from tools.reasoning_tasks import JUDGED, LEFT_OUT, as_problem, check_tasks, reasoning_problems


def is_paid(gold: str, answer: str) -> bool:
    return gold_problem(gold) is None and is_correct(gold_text(gold), answer)


@pytest.mark.parametrize(
    ("gold", "others"),
    [
        ("undetermined", ["on", "off"]),
        ("Wednesday", ["Sunday", "Yes"]),
        ("12.3630", ["12.36", "-12.363"]),
        ("737/960", ["737/961"]),
        ("True", ["False"]),
        ("-244.35", ["244.35"]),
        ("Peng", ["Chi", "Pass"]),
        ("No", ["Yes"]),
        ("carol", ["arnold"]),
    ],
)
def test_answers_of_the_used_tasks_are_told_apart(gold, others):
    assert is_paid(gold, gold)
    assert is_paid(gold, f"\\text{{{gold}}}") or not gold.isalpha()
    assert not any(is_paid(gold, other) for other in others)


def test_spelled_answers_are_left_out_because_their_case_would_not_count():
    assert is_paid("ainomma", "AINOMMA")


def test_a_task_is_used_or_left_out_with_a_reason():
    left_out = [task for names in LEFT_OUT.values() for task in names.split()]
    assert len(set(left_out)) == len(left_out) and set(left_out) & set(JUDGED) == set()
    assert (len(JUDGED), len(left_out)) == (33, 73), "all 106 tasks of reasoning-gym 0.1.25"
    with pytest.raises(ValueError, match="no task countdown: several answers are right"):
        check_tasks(["gcd", "countdown"])
    with pytest.raises(ValueError, match="no task gdc: use some of acre,aiw,"):
        check_tasks(["gdc"])


def test_a_row_of_a_generated_entry():
    entry = {"question": "Find the gcd of 12 and 18.", "answer": "6", "metadata": {"difficulty": {}}}
    problem = as_problem(entry, "gcd")
    assert (problem.question, problem.answer, problem.source) == (entry["question"], "6", "reasoning_gym/gcd")


def test_without_the_library_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(ValueError, match="pip install 'lmm-r1-mega\\[reasoning\\]'"):
        reasoning_problems(["gcd"], count=1, seed=0)


def test_generated_problems_are_judged_and_repeat(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path))  # it imports matplotlib, which writes a list of fonts
    known = pytest.importorskip("reasoning_gym.factory", reason="requirements/extras.txt is not installed").DATASETS

    assert set(known) == {*JUDGED, *(task for names in LEFT_OUT.values() for task in names.split())}
    problems = list(reasoning_problems(JUDGED, count=5 * len(JUDGED), seed=3))
    assert problems == list(reasoning_problems(JUDGED, count=5 * len(JUDGED), seed=3))
    assert all(is_paid(problem.answer, problem.answer) for problem in problems)
    for task in JUDGED:
        answers = {problem.answer for problem in problems if problem.source == f"reasoning_gym/{task}"}
        assert not any(is_paid(gold, other) for gold in answers for other in answers - {gold})
