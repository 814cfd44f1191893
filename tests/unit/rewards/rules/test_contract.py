"""The contract of the accuracy and format rewards: a test for every line of its table, through the rules as a worker runs them."""

import pytest

from benchmarks.rewards import BOMBS
from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.rewards.messages import PartialReward, RewardInput, RuleSettings
from lmm_r1_mega.rewards.rules.table import check_gold, score_response
from lmm_r1_mega.rewards.workers.pool import RewardPool

DEFAULT = RuleSettings(("format", "accuracy"))
EXAMPLE = r"Answer as in <think> one and two </think> <answer> $\boxed{3}$ </answer>."
TEMPLATES = {
    "qwen": f"<|im_start|>user\n{EXAMPLE}<|im_end|>\n<|im_start|>assistant\n",
    "phi": f"<|user|>{EXAMPLE}<|end|><|assistant|>",
    "gemma": f"<start_of_turn>user\n{EXAMPLE}<end_of_turn>\n<start_of_turn>model\n",
}


def scored(response: str, gold: object, prompt: str = TEMPLATES["qwen"]) -> PartialReward:
    return score_response(RewardInput(response, gold, prompt), DEFAULT)


def accuracy(answer: str, gold: object, think: str = "hm") -> float:
    """What an answer block in form earns for being right."""
    found = scored(f"<think> {think} </think>\n<answer> {answer} </answer>", gold)
    assert found.invalid is None and found.parts["format"] == 1.0
    return found.parts["accuracy"]


def boxed(text: str) -> str:
    return rf"$\boxed{{{text}}}$"


def test_empty_response_though_the_prompt_has_a_boxed_example():
    assert scored("", "3").parts == {"format": 0.0, "accuracy": 0.0}


@pytest.mark.parametrize("gold", ["", "$$", r"\boxed{}", "see figure", "see the figure above", None])
def test_gold_missing_empty_or_unparsable_is_invalid_and_found_before(gold):
    found = scored(f"<think> hm </think><answer> {boxed('3')} </answer>", gold)
    assert found.invalid and "accuracy" not in found.parts
    assert check_gold(RewardInput("", gold), DEFAULT).invalid == found.invalid


@pytest.mark.parametrize(("gold", "answer"), [(3, "3"), (0, "0"), (-2, "-2"), (2.5, r"\frac{5}{2}"), (0.1, "0.1"), (3.0, "3")])
def test_a_number_as_gold_is_graded(gold, answer):
    assert accuracy(boxed(answer), gold) == 1.0
    assert accuracy(boxed("7"), gold) == 0.0


def test_a_box_inside_think_alone():
    assert accuracy("no idea", "3", think=boxed("3")) == 0.0


def test_the_whole_response_counts_where_no_answer_block_is_asked_for():
    only = RuleSettings(("accuracy",))
    assert score_response(RewardInput(f"So it is {boxed('3')}.", "3"), only).parts == {"accuracy": 1.0}
    assert score_response(RewardInput(f"So it is {boxed('3')}.", "3"), DEFAULT).parts["accuracy"] == 0.0


def test_think_and_answer_on_two_lines_are_in_form():
    assert scored(f"<think> hm\n</think>\n<answer> {boxed('4')} </answer>\n", "3").parts == {"format": 1.0, "accuracy": 0.0}


@pytest.mark.parametrize(
    "response",
    [
        "so <think> hm </think><answer> 3 </answer>",
        "<think> hm </think> so <answer> 3 </answer>",
        "<think> hm </think><answer> 3 </answer> so",
        "<answer> 3 </answer><think> hm </think>",
        "<think> hm </think><answer> 2 </answer><answer> 3 </answer>",
        "<think> hm </think><answer> 3",
    ],
    ids=["before", "between", "after", "wrong order", "twice", "open"],
)
def test_anything_else_is_out_of_form(response):
    assert scored(response, "3").parts["format"] == 0.0


def test_the_last_of_two_boxes_counts_unless_they_are_joined_to_one_answer():
    assert accuracy(f"{boxed('2')} is too small, so it must be {boxed('3')}", "3") == 1.0
    assert accuracy(f"{boxed('3')} is too large, so it must be {boxed('2')}", "3") == 0.0
    assert accuracy(f"{boxed('2')} or {boxed('3')}", "3") == 0.0
    assert accuracy(f"{boxed('2')} and {boxed('3')}", "2,3") == 1.0


ONE = {
    "frac12": ("1/2", r"\frac12"),
    "only the unit differs": ("3", "3 cm"),
    "only the unit differs, of a multiple of pi": (r"4\pi", r"4\pi \text{ cm}^2"),
    "only the unit differs, of a root": (r"2\sqrt{3}", r"2\sqrt{3} \text{ cm}"),
    "x=3": ("3", "x=3"),
    "letter (A)": ("A", "(A)"),
    "letter A": ("A", "A"),
    "letter text A": ("A", r"\text{A}"),
    "letter a": ("A", "a"),
    "letter A. 5": ("A", "A. 5"),
    "inequality for interval": ("(1,2)", "1<x<2"),
    "interval for inequality": ("1<x<2", "(1,2)"),
    "closed inequality for interval": ("[1,2)", r"1\le x<2"),
    "thousands": ("10000", "10{,}000"),
    "percentage": ("0.5", r"50\%"),
    "percentage as gold": (r"50\%", "0.5"),
    "degrees": ("3", r"3^\circ"),
    "degrees as gold": (r"3^\circ", "3"),
    "set": (r"\{1,2\}", r"\{2,1\}"),
    "union": (r"(-\infty,1)\cup(2,\infty)", r"(-\infty, 1) \cup (2, \infty)"),
    "matrix": (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{bmatrix}1&2\\3&\frac{8}{2}\end{bmatrix}"),
    "equation": ("y=2x+1", "2x-y+1=0"),
    "equation turned round": ("x+y=3", "3=y+x"),
    "text": (r"\text{no solution}", "No solution"),
    "word": ("Tuesday", r"\text{tuesday}"),
    "expression": ("(x+1)^2", "x^2+2x+1"),
    "tuple": ("(1,2)", r"\left(1,2\right)"),
    "complex": ("1+2i", "2i+1"),
    "scientific": (r"1.2\times10^{3}", "1200"),
    "mixed number": ("7/2", r"3\frac{1}{2}"),
    "ratio": ("3:4", r"\frac{3}{4}"),
    "list with and": ("1, 2", r"1 \text{ and } 2"),
    "plus minus": (r"\pm 2", "2, -2"),
    "mixed number with a slash": ("9/5", "1 4/5"),
    "percentage that is a unit": ("12.5", r"12.5\%"),
    "minus sign": ("-3", "\u22123"),
    "either of two": ("1, 2", r"x=1 \text{ or } x=2"),
    "inequalities for a union": (r"(-\infty,1)\cup(2,\infty)", r"x<1 \text{ or } x>2"),
    "spaced matrix": (r"\begin{pmatrix} 1 \\ -2 \end{pmatrix}", r"\begin{pmatrix}1\\-2\end{pmatrix}"),
    "repeating decimal": (r"0.\overline{3}", r"\frac{1}{3}"),
    "Chinese unit": ("5", "5\u5398\u7c73"),
    "Chinese option": ("A", "\u9009\uff21"),
}
"""Line -> gold answer, answer."""

ZERO = {
    "chain 3=3": ("3", "3=3"),
    "chain 1=2=3": ("3", "1=2=3"),
    "other variable": ("x=3", "y=3"),
    "other unit": ("3 m", "3 cm"),
    "other letter": ("A", "B"),
    "two letters": ("A", "A, B"),
    "all letters": ("A", "A. B. C. D."),
    "one letter or another": ("A", "(A) or (B)"),
    "numbers in a row": ("14/5", "1 4/5"),
    "value for an equation": ("x+y=3", "3"),
    "all values": ("3", "1, 2, 3, 4"),
    "empty box": ("3", ""),
    "very small number": (r"1.6\times10^{-19}", r"3.2\times10^{-19}"),
    "open for closed interval": ("[1,2]", "(1,2)"),
    "interval that is too long": ("1<x<2", "(1,3)"),
    "set that lacks a member": (r"\{1,2\}", "1"),
    "set with one too many": (r"\{1,2\}", r"\{1,2,3\}"),
    "matrix with another entry": (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&5\end{pmatrix}"),
    "transposed": (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}"),
    "other line": ("y=2x+1", "y=2x-1"),
    "other word": ("Tuesday", "Monday"),
    "percentage of the number": ("0.5", r"0.5\%"),
    "reversed tuple": ("(1,2)", "(2,1)"),
    "prose": ("3", "I do not know"),
    "name of the number": ("3", r"\text{three}"),
}


@pytest.mark.parametrize(("gold", "answer"), ONE.values(), ids=ONE)
def test_pays(gold, answer):
    assert accuracy(boxed(answer), gold) == 1.0


@pytest.mark.parametrize(("gold", "answer"), ZERO.values(), ids=ZERO)
def test_pays_nothing(gold, answer):
    assert accuracy(boxed(answer), gold) == 0.0


def test_verify_is_asked_about_the_gold_answer_first():
    assert (accuracy(boxed("2"), r"\pm 2"), accuracy(boxed("x<3"), "3"), accuracy(boxed("3"), "x+1=4")) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("template", TEMPLATES)
def test_no_template_is_known_and_no_prompt_read(template):
    for response, paid in [
        ("", 0.0),
        ("<think> hm </think><answer> no idea </answer>", 0.0),
        (f"<think> </think><answer>{boxed('3')}</answer>", 1.0),
    ]:
        assert scored(response, "3", TEMPLATES[template]).parts["accuracy"] == paid
    assert scored("<|assistant|><think> </think><answer>3</answer>", "3", TEMPLATES[template]).parts["format"] == 0.0


def test_a_response_has_a_second_of_processor_time_unless_told():
    assert RewardSettings().timeout_s == 1.0


def test_bombs_cost_themselves_alone():
    def answered(text: str) -> RewardInput:
        return RewardInput(f"<think> hm </think><answer> {boxed(text)} </answer>", "3")

    calm = [answered(rf"\frac{{{i}}}{{2}}") for i in range(64)]
    mixed = [one for i, bomb in enumerate(BOMBS) for one in (*calm[4 * i : 4 * i + 4], answered(bomb))]
    with RewardPool(RewardSettings(workers=2, timeout_s=0.25, memory_mib=512)) as pool:
        scores = pool.score(mixed)
    assert [score.reward for i, score in enumerate(scores) if i % 5 < 4] == [1.5 if i == 6 else 0.5 for i in range(64)]
    bombs = scores[4::5]
    assert len(bombs) == 16
    assert all(score.reward in (None, 0.5) for score in bombs)
    assert {"timeout", "answer too long"} <= {score.invalid for score in bombs} and sum(score.invalid is not None for score in bombs) > 8
