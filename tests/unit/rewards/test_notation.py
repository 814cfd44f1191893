"""What is read in an answer: option letters, sides of equal signs, words."""

import time

import pytest

from lmm_r1_mega.rewards.notation import option_letter, read, split_assignment, squeezed


@pytest.mark.parametrize(
    "bare",
    [
        "A", "(a)", "A)", "A.", "[A]", "A. 5", "(A) 5 cm", "A: five", "choice A", "Option (a)", "the correct answer is (A)", "answer: A",
        "(A) AB = CD", "A. f(x) = (x-1)^2", "A: y = 2x", "\u9009A", "\u6545\u9009\u9879:A", "\u7b54\u6848\u662fA",
    ],
)  # fmt: skip
def test_one_letter_in_any_dress(bare):
    assert option_letter(bare) == "A"


@pytest.mark.parametrize(
    "bare",
    [
        "AB", "A and B", "(A, B)", "5", "", "A5", "(A)(B)", "Apple", "A.5",
        "(A) (B) (C) (D)", "A. B. C. D", "A. B", "A) B)", "(A) or (B)", "A: or B", "(A), B", "A. 3, B. 4", "(A) B, C", "both A and B",
        "not A",
    ],
)  # fmt: skip
def test_what_is_not_one_letter(bare):
    assert option_letter(bare) is None


@pytest.mark.parametrize(
    ("text", "relation", "names", "value"),
    [
        ("3", "value", (), "3"),
        ("x = 3", "assignment", ("x",), "3"),
        ("x=1, y=2", "assignment", ("x", "y"), "(1,2)"),
        ("x=1 or x=2", "assignment", ("x", "x"), "1,2"),
        ("x_1=1, x_2=2", "assignment", ("x_1", "x_2"), "1,2"),
        ("x=1, 2, and 3", "assignment", ("x", "x", "x"), "1,2,3"),
        ("3 = x", "assignment", ("x",), "3"),
        ("3 =", "equation", (), "3 ="),
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


def test_read_puts_the_pieces_together():
    reading = read(r"$x = 10{,}000\text{ cm}$")
    assert (reading.relation, reading.names, reading.unit, reading.number.value) == ("assignment", ("x",), "cm", 10_000)
    assert read("see figure").is_prose and not read(r"\sin x + \cos y").is_prose and not read("ABC and DEF").is_prose


@pytest.mark.parametrize(
    ("text", "tight"), [("2 x + 1", "2 x+1"), ("1 2 3", "1 2 3"), ("( 1 , 2 )", "(1,2)"), ("\\frac { 1 } { 2 }", "\\frac{1}{2}")]
)
def test_squeezed(text, tight):
    assert squeezed(text) == tight


@pytest.mark.parametrize(
    "text", ["3" + "1" * 1990 + "!", "3 " + "cm    " * 330 + "!", "3" + "\u7c73" * 1990 + "!", "x<" * 1000, "1, " * 660]
)
def test_no_regular_expression_is_slow(text):
    started = time.process_time()
    read(text)
    assert time.process_time() - started < 0.2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r"\text{No Solution}", "no solution"),
        ("Ellipse", "ellipse"),
        (r"\text{an ellipse}", "ellipse"),
        (r"\text{no}", "no"),
        ("\u7b49\u8170\u4e09\u89d2\u5f62", "\u7b49\u8170\u4e09\u89d2\u5f62"),
        (r"\text{June 20}", None),
        ("no solution", None),
        ("AB", None),
    ],
)
def test_phrases(text, words):
    assert read(text).phrase == words
