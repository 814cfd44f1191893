"""Undressing an answer: what is left, and that what matters is left."""

import pytest

from lmm_r1_mega.rewards.undress import undress


@pytest.mark.parametrize(
    ("dressed", "plain"),
    [
        (r"$ 10{,}000 $.", "10000"),
        (r"\(\dfrac{1}{2}\)", r"\frac{1}{2}"),
        (r"\left(1,\,2\right)", "(1, 2 )"),
        (r"\leftarrow", r"\leftarrow"),
        ("1,23", "1,23"),
        ("1,234,567.5", "1234567.5"),
        ("(1,234)", "(1,234)"),
        (r"\{100,200\}", r"\{100,200\}"),
        ("12 percent", "12%"),
        ("3\u00b0", r"3\degree"),
        (r"3 ^ { \circ }", r"3 \degree"),
        ("$5.00", "5.00"),
        ("\u22123\u00d74", r"-3\times 4"),
        ("x\u00b9\u2070+\u221a(x+1)\u00b2", r"x^{10}+\sqrt{x+1}^{2}"),
        ("\uff08\uff11\uff0c\uff12\uff09\u3002", "(1,2)"),
        (r"\frac12+\tfrac3 4", r"\frac{1}{2}+\frac{3}{4}"),
        (r"-1 \\ -7", r"-1 \\ -7"),
        (r"1 \\[4pt] 2 \\", r"1 \\ 2"),
        (r"1\text{ and }2\quad\text{or}\quad 3", "1 and 2  or   3"),
        (r"5 \text{ million}", r"5\times 10^{6}"),
        ("2.5 thousand dollars", r"2.5\times 10^{3} dollars"),
        (r"5 \text{ million dollars}", r"5\times 10^{6}\text{ dollars}"),
        (r"4:05\text{ P.M.}", r"4:05\text{ pm}"),
        (r"\approx 37.7", "37.7"),
        ("= `3`", "3"),
    ],
)
def test_undress(dressed, plain):
    assert undress(dressed) == plain
