"""What is parsed of an answer: its kind, and that nothing of it is left unread."""

from dataclasses import replace

import pytest

from lmm_r1_mega.rewards.answers.kinds import (
    Assignment,
    Choice,
    ClockTime,
    Collection,
    Date,
    Equation,
    Letters,
    Number,
    Ordering,
    Range,
    Ratio,
    Statements,
    Words,
    describe,
)
from lmm_r1_mega.rewards.answers.parse import parse_answer


@pytest.mark.parametrize(
    "bare",
    [
        "A", "(a)", "A)", "A.", "[A]", "A. 5", "(A) 5 cm", "A: five", "choice A", "Option (a)", "the correct answer is (A)", "answer: A",
        "(A) AB = CD", "A. f(x) = (x-1)^2", "A: y = 2x", "\u9009A", "\u6545\u9009\u9879:A", "\u7b54\u6848\u662fA", "A is correct",
        "A Peter",
        "A\u30015", "A\uff1a5",
    ],
)  # fmt: skip
def test_one_letter_in_any_dress(bare):
    assert isinstance(parse_answer(bare), Choice) and parse_answer(bare).letter == "A"


@pytest.mark.parametrize(
    "bare",
    [
        "AB", "A and B", "(A, B)", "5", "", "A5", "(A)(B)", "Apple", "A.5",
        "(A) (B) (C) (D)", "A. B. C. D", "A. B", "A) B)", "(A) or (B)", "A: or B", "(A), B", "A. 3, B. 4", "(A) B, C", "both A and B",
        "not A", "A is not correct", "A cat",
    ],
)  # fmt: skip
def test_what_is_not_one_letter(bare):
    assert not isinstance(parse_answer(bare), Choice)


@pytest.mark.parametrize(
    "expected",
    [
        Ratio(("3", "4"), text="3:4"),
        Ratio(("3", "4", "5"), text="3:4:5"),
        ClockTime("2", "30", "", "pm", text="2:30 p.m."),
        Date(("5", "1", "2022"), text="05/01/2022"),
        Date(("2022", "5", "1"), text="2022-05-01"),
        Range("3", "5 days", text="3-5 days"),
        Range("5", "6", text="5 to 6"),
        Statements(("1", "3"), text="\u2460\u2462"),
        Letters(("A", "C"), text="A, C"),
        Ordering(("a", "b", "c"), ("<", "<"), text="c>b>a"),
        Ordering(("a", "b", "c"), (r"\le", "<"), text=r"c>b\ge a"),
    ],
    ids=lambda expected: expected.text,
)
def test_a_notation_is_members_and_no_arithmetic(expected):
    assert replace(parse_answer(expected.text), text=expected.text) == expected


@pytest.mark.parametrize(
    ("text", "names", "values", "steps"),
    [
        ("x = 3", ("x",), ["3"], ()),
        ("x=1, y=2", ("x", "y"), ["1", "2"], ()),
        ("x=1 or x=2", ("x", "x"), ["1", "2"], ()),
        ("x=1, 2, and 3", ("x", "x", "x"), ["1", "2", "3"], ()),
        ("3 = x", ("x",), ["3"], ()),
        (r"S_{\triangle ABC}=4", (r"S_{\triangle ABC}",), ["4"], ()),
        ("f(x)=x^2", ("f(x)",), ["x^{2}"], ()),
        (r"x\in(1,2)", ("x",), ["(1,2)"], ()),
        ("1<x<2", ("x",), ["(1,2)"], ()),
        (r"\{x|x\le 2\}", ("x",), [r"(-\infty,2]"], ()),
        ("x=1+2=3", ("x",), ["3"], ("1+2",)),
        ("Area = 3 \u00d7 4 = 12 cm", ("Area",), ["12 cm"], ("3 \\times 4",)),
    ],
)
def test_values_of_names(text, names, values, steps):
    parsed = parse_answer(text)
    assert isinstance(parsed, Assignment)
    assert (parsed.names, [value.text for value in parsed.values], parsed.steps) == (names, values, steps)


@pytest.mark.parametrize("text", ["3=3", "2x+1=0", "x+y=3"])
def test_sides_without_a_name_are_an_equation(text):
    assert parse_answer(text) == Equation(text=text)


@pytest.mark.parametrize(
    "text",
    [
        "1=2=3",
        "3 =",
        "not 5",
        "5 north",
        "5 or so many",
        "5 cm ago",
        "see figure",
        "555-0199",
        "H2O",
        "f'(x)",
        r"\forall x",
        "5 ?",
        "IV",
        "red cat",
    ],
)
def test_what_is_not_accounted_for_is_words(text):
    assert isinstance(parse_answer(text), Words)


def test_several_answers_and_their_brackets():
    parsed = [parse_answer(text) for text in ("1, 2", "(1,2]", r"\{1,2,3\}", "1;2")]
    assert [(several.brackets, several.is_ordered, len(several.items)) for several in parsed] == [
        ("", False, 2),
        ("(]", True, 2),
        ("{}", False, 3),
        ("", True, 2),
    ]
    assert isinstance(parse_answer("(1,2),(3,4)"), Collection)


def test_a_value_with_its_unit():
    parsed = parse_answer(r"$x = 10{,}000\text{ cm}$")
    assert isinstance(parsed, Assignment) and isinstance(parsed.value, Number)
    assert (parsed.value.value, parsed.value.unit.dimension) == (10_000, (("m", 1),))


@pytest.mark.parametrize(
    ("text", "words"),
    [(r"\text{No Solution}", "no solution"), ("The Ellipse.", "ellipse"), (r"\text{Room 20}", "room 20"), ("no solutions", "no solution")],
)
def test_words(text, words):
    assert replace(parse_answer(text), text="") == Words(words)


def test_kinds_have_names():
    texts = ["A", "3:4", "3", "3 cm", "x", "1,2", "x=1", "x+y=1", "see figure"]
    assert [describe(parse_answer(text)) for text in texts] == [
        "option", "ratio", "number", "number with a unit", "expression", "several answers", "value of a name", "equation", "words",
    ]  # fmt: skip
