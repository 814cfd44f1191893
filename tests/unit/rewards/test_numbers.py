"""Plain numbers, lists of them and intervals, as exact fractions."""

from fractions import Fraction

import pytest

from lmm_r1_mega.rewards.answers.lists import both_signs, inequality, split_brackets
from lmm_r1_mega.rewards.answers.normalize import normalize_latex
from lmm_r1_mega.rewards.answers.numbers import arc_degrees, plain_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-7", -7),
        ("+ 7", 7),
        (".25", Fraction(1, 4)),
        ("3/4", Fraction(3, 4)),
        (r"-\frac{3}{4}", Fraction(-3, 4)),
        (r"\frac{-3}{4}", Fraction(-3, 4)),
        ("50%", Fraction(1, 2)),
        (r"\frac{1}{2}%", Fraction(1, 200)),
        (r"\frac{1}{-2}", Fraction(-1, 2)),
        (r"2\frac{1}{3}", Fraction(7, 3)),
        (r"-2 \frac{1}{3}", Fraction(-7, 3)),
        ("1 4/5", Fraction(9, 5)),
        (r"33\frac{1}{3}%", Fraction(1, 3)),
        (r"0.\overline{3}", Fraction(1, 3)),
        (r"-0.1\overline{6}", Fraction(-1, 6)),
        (r"2.\dot{3}", Fraction(7, 3)),
        (r"1.6\times10^{-19}", Fraction(16, 10**20)),
        (r"6 \cdot 10^{23}", 6 * 10**23),
        ("1.5e3", 1500),
        ("10^{-100}", Fraction(1, 10**100)),
    ],
)
def test_plain_number(text, value):
    assert plain_number(text).value == value


@pytest.mark.parametrize("text", ["", "x", "3x", "1/0", r"\frac{1}{0}", r"\sqrt2", r"1\frac{2}{0}", "3 4", "1.2.3", r"\frac{x}{2}"])
def test_what_is_not_a_plain_number(text):
    assert plain_number(text) is None


def test_degrees_minutes_and_seconds():
    assert arc_degrees(r"30\degree 15'").value == Fraction(121, 4) and arc_degrees(r"-1\degree 0' 36''").value == Fraction(-101, 100)
    assert arc_degrees(r"30\degree") is None


@pytest.mark.parametrize(
    ("text", "brackets", "inside"),
    [
        ("(2, 1]", "(]", "2, 1"),
        (r"\{2, 1\}", "{}", "2, 1"),
        ("{2,1}", "{}", "2,1"),
        ("(1,2),(3,4)", "", "(1,2),(3,4)"),
        (r"(1,2)\cup(3,4)", "", r"(1,2)\cup(3,4)"),
        ("1,2", "", "1,2"),
    ],
)
def test_brackets_around_the_whole(text, brackets, inside):
    assert split_brackets(text) == (brackets, inside)


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("1<x<2", "(1,2)"),
        (r"1\le x<2", "[1,2)"),
        (r"-1 <= x \le \frac{1}{2}", r"[-1,\frac{1}{2}]"),
        (r"2>x\ge 1", "[1,2)"),
        (r"2 \gt x \gt 1", "(1,2)"),
        ("x>2", r"(2,\infty)"),
        ("2>=x", r"(-\infty,2]"),
        ("x<-2 or x>2", r"(-\infty,-2)\cup(2,\infty)"),
        (r"x \ge 3, or x \le 1", r"[3,\infty)\cup(-\infty,1]"),
        ("0<x<1 or x>2", r"(0,1)\cup(2,\infty)"),
    ],
)
def test_inequalities_of_one_variable_are_intervals(text, interval):
    assert inequality(normalize_latex(text)) == ("x", interval)


@pytest.mark.parametrize(
    "text", ["1<x>2", "1<2<3", "1<x<2<3", "1<x<y", r"1\left x<2", "1<xy<2", "x<1 and x>0", "x<1 or 3", "x<1 or y>2", "x<y", "x"]
)
def test_other_inequalities_are_no_interval(text):
    assert inequality(normalize_latex(text)) is None


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (r"\pm 2", "2,- 2"),
        (r"x\pm\sqrt{3}", r"x+\sqrt{3},x-\sqrt{3}"),
        (r"\frac{1\pm\sqrt{5}}{2}", r"\frac{1+\sqrt{5}}{2},\frac{1-\sqrt{5}}{2}"),
        (r"1\pm a\mp b", "1+ a- b,1- a+ b"),
        (r"(\pm 1, 2), 3", "(+ 1, 2),(- 1, 2),3"),
        (r"\pm 1\pm 2", r"\pm 1\pm 2"),
        ("1, 2", "1, 2"),
    ],
)
def test_both_signs_are_written_out(text, written):
    assert both_signs(text) == written
