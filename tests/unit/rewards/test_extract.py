"""Which text of a response counts as its answer, and the form reward."""

import pytest

from lmm_r1_mega.rewards.answers.extract import announced, answer_region, boxed_answer, final_answers, format_reward

THINK = r"<think> half of 6 is \boxed{3} </think>"


@pytest.mark.parametrize(
    "response",
    [
        "<think> a </think> <answer> b </answer>",
        "<think>a</think><answer>b</answer>",
        "<think>a\n</think>\n\n<answer>b</answer>\n",
        "  <think>a < b</think>\t<answer>$x$</answer>",
    ],
)
def test_form_is_one_think_block_then_one_answer_block(response):
    assert format_reward(response) == 1.0


@pytest.mark.parametrize(
    "response",
    [
        "",
        "3",
        "<answer>b</answer>",
        "<think>a</think>",
        "<answer>b</answer><think>a</think>",
        "<think>a</think> so <answer>b</answer>",
        "Well <think>a</think><answer>b</answer>",
        "<think>a</think><answer>b</answer> done",
        "<think>a</think><answer>b</answer><answer>c</answer>",
        "<think>a</think><think>a</think><answer>b</answer>",
        "<think><think>a</think><answer>b</answer>",
        "<think>a <answer>b</answer></think>",
        "<think>a</think><answer>b",
        "<Think>a</Think><Answer>b</Answer>",
    ],
)
def test_anything_else_has_no_form(response):
    assert format_reward(response) == 0.0


def test_the_last_answer_block_after_the_reasoning_is_read():
    assert answer_region(f"{THINK}<answer>1</answer> no: <answer>2</answer>", block_asked=True) == "2"


def test_a_box_inside_the_reasoning_is_never_read():
    assert answer_region(f"{THINK}<answer>no idea</answer>", block_asked=True) == "no idea"
    assert answer_region(r"<think> \boxed{3} <answer>3</answer> </think> no idea", block_asked=True) is None
    assert answer_region(r"<think> it must be \boxed{3}", block_asked=False) is None


def test_without_an_answer_block_the_whole_response_counts_only_where_none_was_asked_for():
    assert answer_region(f"{THINK} so it is 3", block_asked=False) == " so it is 3"
    assert answer_region(f"{THINK} so it is 3", block_asked=True) is None
    assert answer_region("3", block_asked=False) == "3"


def test_an_answer_block_that_never_closes_is_no_answer():
    assert answer_region("<answer> 3", block_asked=False) is None


@pytest.mark.parametrize(
    ("region", "answer"),
    [
        (r" $\boxed{17}$ ", "17"),
        (r"\boxed{2} and then \boxed{3}", "3"),
        (r"\boxed{2} or \boxed{3}", "2 or 3"),
        (r"$\boxed{2}$, $\boxed{3}$ and $\boxed{5}$", "2, 3, 5"),
        (r"$\boxed{x=2}$ or $x=\boxed{3}$", "x=2 or 3"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed\frac12", r"\frac12"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed {\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\left\{ x \right\}}.", r"\left\{ x \right\}"),
        (r"\boxed{\begin{pmatrix}1\\{2}\end{pmatrix}} is it", r"\begin{pmatrix}1\\{2}\end{pmatrix}"),
        (r"$-\boxed{5}$", "- 5"),
        (r"$x-p=\boxed{2-2p}$", "2-2p"),
        (r"$x\ge\boxed{5}$", r"x\ge 5"),
        (r"not $\boxed{5}$", "not 5"),
        (r"it is at least \boxed{5}", "not 5"),
        (r"$\boxed{5}$ million people", "5 million people"),
        (r"\boxed{5} or more", "5 or more"),
        (r"\boxed{5} km.", "5 km"),
        (r"\boxed{5}, because it is odd", "5"),
        (r"\boxed{3", None),
        (r"\boxed{}", None),
    ],
)
def test_a_box_with_what_belongs_to_it(region, answer):
    assert boxed_answer(region) == answer


@pytest.mark.parametrize(
    ("region", "answer"),
    [
        (r"so $a=1$ and hence $b=2$", None),
        (r"the area is \(3x\)", r"\(3x\)"),
        ("So $x = 4$, $y = 3$ and the product is $12$", "$12$"),
        ("He has 5 and she has 6", None),
        ("The answer is 5", "5"),
        ("It is not 5", "not 5"),
        ("We do not say that it is 5", None),
        ("\u6240\u4ee5\u7b54\u6848\u662f 5", "5"),
        ("\u7b54\u6848\uff1a$5$", "$5$"),
        ("Final answer: $5$.", "$5$."),
        ("The answer: D, since A and B make no sense", "D"),
        (" 42 ", None),
    ],
)
def test_what_words_announce(region, answer):
    assert announced(region) == answer


def test_the_first_text_that_is_more_than_words_is_the_answer():
    assert final_answers(" $2$ or $3$ ") == [("$2$ or $3$", False)]
    assert final_answers("So the total is 1 + 2 = 3") == [("1 + 2 = 3", True)]
    assert final_answers("The capital is New York") == [("The capital is New York", False), ("New York", False)]
    assert final_answers("   ") == []
