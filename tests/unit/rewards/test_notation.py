"""Undressing an answer: what is left, and that what matters is left."""

from fractions import Fraction

import pytest

from lmm_r1_mega.rewards.notation import option_letter, plain_number, plain_numbers, read, split_assignment, undress
from lmm_r1_mega.rewards.units import split_unit


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
    ],
)
def test_undress(dressed, plain):
    assert undress(dressed) == plain


@pytest.mark.parametrize("bare", ["A", "(a)", "A)", "A.", "[A]", "A. 5", "(A) 5 cm", "A: five", "choice A", "Option (a)"])
def test_one_letter_in_any_dress(bare):
    assert option_letter(bare) == "A"


@pytest.mark.parametrize("bare", ["AB", "A and B", "(A, B)", "5", "", "A5", "(A)(B)", "Apple", "A.5"])
def test_what_is_not_one_letter(bare):
    assert option_letter(bare) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-7", -7),
        ("+ 7", 7),
        (".25", Fraction(1, 4)),
        ("3/4", Fraction(3, 4)),
        (r"-\frac{3}{4}", Fraction(-3, 4)),
        (r"\frac34", Fraction(3, 4)),
        (r"\frac{-3}{4}", Fraction(-3, 4)),
        ("50%", Fraction(1, 2)),
        (r"\frac12%", Fraction(1, 200)),
    ],
)
def test_plain_number(text, value):
    assert plain_number(text).value == value


@pytest.mark.parametrize("text", ["", "x", "3x", "1/0", r"\frac{1}{0}", r"\sqrt2", "1e5", "3 4", "1.2.3", r"\frac{x}{2}"])
def test_what_is_not_a_plain_number(text):
    assert plain_number(text) is None


def test_plain_numbers_keep_the_order_of_a_tuple_and_forget_that_of_a_set():
    assert plain_numbers("(2, 1]") == ("(]", (plain_number("2"), plain_number("1")))
    assert plain_numbers(r"\{2, 1\}") == plain_numbers("1 and 2") == ("", (plain_number("1"), plain_number("2")))
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
    ("text", "relation", "names", "value"),
    [
        ("3", "value", (), "3"),
        ("x = 3", "assignment", ("x",), "3"),
        ("x=1, y=2", "assignment", ("x", "y"), "1,2"),
        (r"S_{\triangle ABC}=4", "assignment", (r"S_{\triangle ABC}",), "4"),
        ("f(x)=x^2", "assignment", ("f(x)",), "x^2"),
        (r"x\in(1,2)", "assignment", ("x",), "(1,2)"),
        ("3=3", "equation", (), "3=3"),
        ("2x+1=0", "equation", (), "2x+1=0"),
        ("1=2=3", "chain", (), "1=2=3"),
        ("x=1+2=3", "chain", (), "x=1+2=3"),
        (r"\sum_{i=1}^{3} i", "value", (), r"\sum_{i=1}^{3} i"),
        (r"x \le 3", "value", (), r"x \le 3"),
        ("x>=3", "value", (), "x>=3"),
    ],
)
def test_split_assignment(text, relation, names, value):
    assert split_assignment(text) == (relation, names, value)


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("3 cm", "3", "cm"),
        (r"3\text{cm}", "3", "cm"),
        (r"3 \mathrm{ cm }^{2}", "3", "cm^2"),
        ("3 square centimeters", "3", "cm^2"),
        ("60 miles per hour", "60", "mi/h"),
        (r"60\text{ km/h}", "60", "km/h"),
        (r"30\degree", "30", "degree"),
        ("30 degrees", "30", "degree"),
        ("3 m", "3", "m"),
        (r"\frac{1}{2} \text{ m}", r"\frac{1}{2}", "m"),
        ("12 square units", "12", "unit"),
        ("3m", "3m", ""),
        (r"2\pi h", r"2\pi h", ""),
        (r"2\pi \text{ cm}^2", r"2\pi", "cm^2"),
        (r"\frac{\pi}{4} rad", r"\frac{\pi}{4}", "rad"),
        (r"2\sqrt{3}\text{ m}", r"2\sqrt{3}", "m"),
        ("3x", "3x", ""),
        ("x", "x", ""),
        (r"3\sin", r"3\sin", ""),
        ("x cm", "x cm", ""),
    ],
)
def test_split_unit(text, value, unit):
    assert split_unit(text) == (value, unit)


def test_read_puts_the_pieces_together():
    reading = read(r"$x = 10{,}000\text{ cm}$")
    assert (reading.relation, reading.names, reading.unit, reading.number.value) == ("assignment", ("x",), "cm", 10_000)
    assert read("see figure").is_prose and not read(r"\sin x + \cos y").is_prose and not read("ABC and DEF").is_prose
