"""Which text of a response counts as its answer, and the form reward."""

import pytest

from lmm_r1_mega.rewards.extract import answer_region, final_expression, format_reward

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
    ("region", "expression"),
    [
        (r" $\boxed{17}$ ", "17"),
        (r"\boxed{2} and then \boxed{3}", "3"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed {\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\left\{ x \right\}}.", r"\left\{ x \right\}"),
        (r"\boxed{\begin{pmatrix}1\\{2}\end{pmatrix}} is it", r"\begin{pmatrix}1\\{2}\end{pmatrix}"),
        (r"\boxed{3", None),
        (r"\boxed{}", None),
        (r"so $a=1$ and hence $b=2$", "b=2"),
        (r"the area is \(3x\)", "3x"),
        ("$2$ and $3$", "$2$ and $3$"),
        ("The answer is 5", "5"),
        ("\u6240\u4ee5\u7b54\u6848\u662f 5", "5"),
        ("\u7b54\u6848\uff1a$5$", "$5$"),
        ("Final answer: $5$.", "$5$."),
        (" 42 ", "42"),
        (r"\$5", r"\$5"),
        ("   ", None),
    ],
)
def test_final_expression(region, expression):
    assert final_expression(region) == expression
