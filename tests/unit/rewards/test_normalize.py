"""One spelling of an answer: every row of the table by its example, and what all rows make of an answer."""

import pytest

from lmm_r1_mega.rewards.answers.normalize import REWRITES, normalize_latex, strip_spaces


@pytest.mark.parametrize("row", REWRITES, ids=lambda row: row.purpose)
def test_a_row_does_what_its_example_says(row):
    before, after = row.example
    assert before != after and row.pattern.sub(row.replacement, before) == after


@pytest.mark.parametrize(
    ("answer", "spelling"),
    [
        (r"$ 10{,}000 $.", "10000"),
        (r"\(\dfrac{1}{2}\)", r"\frac{1}{2}"),
        (r"\left(1,\,2\right)", "(1, 2 )"),
        (r"\leftarrow", r"\leftarrow"),
        ("1,23", "1,23"),
        ("1,234,567.5", "1234567.5"),
        ("1.234,5", "1234.5"),
        ("1'234'567", "1234567"),
        ("(1,234)", "(1,234)"),
        (r"\{100,200\}", r"\{100,200\}"),
        ("12 percent", "12%"),
        ("3\u00b0", r"3\degree"),
        (r"3 ^ { \circ }", r"3 \degree"),
        ("$5.00", "$5.00"),
        (r"\$5", "$5"),
        ("$5$", "5"),
        ("$5$$6$", "5 6"),
        ("\u22123\u00d74", r"-3\times 4"),
        ("x\u00b9\u2070+\u221a(x+1)\u00b2", r"x^{10}+\sqrt{x+1}^{2}"),
        ("2\u221a{3}", r"2\sqrt{3}"),
        ("\uff08\uff11\uff0c\uff12\uff09\u3002", "(1,2)"),
        ("\u200b5\ufeff", "5"),
        ("\u0665", "5"),
        ("\u215b", r"\frac{1}{8}"),
        ("\u2460\u2462", "(1)(3)"),
        (r"\frac12+\tfrac3 4", r"\frac{1}{2}+\frac{3}{4}"),
        (r"-1 \\ -7", r"-1 \\ -7"),
        (r"1 \\[4pt] 2 \\", r"1 \\ 2"),
        (r"1\text{ and }2\quad\text{or}\quad 3", "1 and 2 or 3"),
        (r"5\,\mathrm{~cm}", "5 cm"),
        (r"4:05\text{ P.M.}", "4:05 pm"),
        ("= `3`", "3"),
        ("x**2", "x^{2}"),
        ("**5**", "5"),
        ("20 degrees Celsius", r"20 \degree C"),
    ],
)
def test_normalize_latex(answer, spelling):
    assert normalize_latex(answer) == spelling


@pytest.mark.parametrize(
    ("text", "tight"), [("2 x + 1", "2 x+1"), ("1 2 3", "1 2 3"), ("( 1 , 2 )", "(1,2)"), ("\\frac { 1 } { 2 }", "\\frac{1}{2}")]
)
def test_strip_spaces(text, tight):
    assert strip_spaces(text) == tight
