"""Plain numbers, lists of them and intervals, as exact fractions."""

from fractions import Fraction

import pytest

from lmm_r1_mega.rewards.values import both_signs, plain_number, plain_numbers, union_of_intervals


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
    ],
)
def test_plain_number(text, value):
    assert plain_number(text).value == value


@pytest.mark.parametrize("text", ["", "x", "3x", "1/0", r"\frac{1}{0}", r"\sqrt2", r"1\frac{2}{0}", "3 4", "1.2.3", r"\frac{x}{2}"])
def test_what_is_not_a_plain_number(text):
    assert plain_number(text) is None


def test_plain_numbers_are_as_written():
    assert plain_numbers("(2, 1]") == ("(]", (plain_number("2"), plain_number("1")))
    assert plain_numbers(r"\{2, 1\}") == ("{}", (plain_number("2"), plain_number("1")))
    assert plain_numbers("3, 1, and 2") == ("", (plain_number("3"), plain_number("1"), plain_number("2")))
    assert plain_numbers("(1, x)") == plain_numbers("1") == ("", ())


@pytest.mark.parametrize(
    ("inequality", "interval"),
    [
        ("1<x<2", "(1,2)"),
        (r"1\leq x<2", "[1,2)"),
        (r"-1 <= t \leqslant \frac{1}{2}", r"[-1,\frac{1}{2}]"),
        (r"2>x\ge 1", "[1,2)"),
        (r"2 \gt x \gt 1", "(1,2)"),
    ],
)
def test_an_inequality_is_read_as_its_interval(inequality, interval):
    assert plain_numbers(inequality) == plain_numbers(interval) != ("", ())


@pytest.mark.parametrize("text", ["1<x>2", "1<x", "1<2<3", "1<x<2<3", "1<x<y", r"1\left x<2", "1<xy<2"])
def test_other_inequalities_are_no_interval_of_plain_numbers(text):
    assert plain_numbers(text) == ("", ())


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


@pytest.mark.parametrize(
    ("text", "union"),
    [
        ("x<-2 or x>2", r"(-\infty,-2)\cup(2,\infty)"),
        (r"x \ge 3, or x \le 1", r"[3,\infty)\cup(-\infty,1]"),
        ("0<x<1 or x>2", r"(0,1)\cup(2,\infty)"),
        ("x<1 and x>0", "x<1 and x>0"),
        ("x<1 or 3", "x<1 or 3"),
        ("x<1", "x<1"),
    ],
)
def test_inequalities_joined_by_or_are_a_union(text, union):
    assert union_of_intervals(text) == union
