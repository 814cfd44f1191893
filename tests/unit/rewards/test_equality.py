"""The reward contract's table, line by line, and math-verify as the independent judge of our shortcuts."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from math_verify import parse, verify

from lmm_r1_mega.rewards.answers.equality import Unscorable, gold_problem, is_correct
from lmm_r1_mega.rewards.answers.extract import gold_text

EQUAL = [
    # gold, answer
    ("1/2", r"\frac12"), (r"\frac{1}{2}", r"\dfrac{1}{2}"), ("0.5", "1/2"), ("1/3", "0.333333"), ("1.50", "3/2"), ("-3", "\u22123"),
    ("3", "3 cm"), ("3", r"3\text{ cm}"), ("3", r"3\,\mathrm{cm}^2"), ("3", "3cm"), ("3 centimeters", "3 cm"), ("3", "3 square units"),
    ("9 cm^2", "9 square centimeters"), ("60 miles per hour", "60"), ("3 apples", "3"), ("5", r"\$5"),
    ("3", "x=3"), ("x=3", "3"), ("x=3", "x = 3"), ("30", r"\angle ABC = 30^\circ"), ("x=1,x=2", "1,2"), ("1,2", "x=1 or x=2"),
    ("x=1,y=2", "y=2,x=1"), ("y=2x+1", "2x+1"), ("f(x)=x^2", "x^2"), ("y=2x+1", "2x-y+1=0"), ("2x+1=0", "2x=-1"),
    ("A", "A"), ("A", "(A)"), ("A", r"\text{A}"), ("A", "a"), ("A", "A. 5"), ("A", r"\textbf{(A)}\ 5"), ("A", "option (A)"),
    ("$A$", "A)"),
    ("(A)", "A"), ("A. 5", "A"), ("A", "[A]"),
    ("(1,2)", "1<x<2"), ("1<x<2", "(1,2)"), ("(1,2)", r"x\in(1,2)"), (r"(2,\infty)", "x>2"), ("x>2", r"(2,\infty)"), ("x>2", "2<x"),
    ("(1,2]", "(1, 2]"), ("(1,234)", "(1, 234)"),
    ("10000", "10{,}000"), ("10{,}000", "10,000"), ("10000", "10 000"), ("1234567.5", "1,234,567.5"),
    (r"50\%", "0.5"), ("0.5", r"50\%"), ("50%", "50"), ("50", "50 percent"), ("3", r"3^\circ"), (r"3^{\circ}", "3 degrees"),
    ("2,3", "3, 2"), ("2,3", r"2 \text{ and } 3"), ("2,3", r"\{2,3\}"), ("$5$ and $6$", "5,6"),
    (r"\sqrt{2}", "\u221a2"), (r"\frac{\sqrt2}{2}", r"\frac{1}{\sqrt{2}}"), ("x^2+2x+1", "(x+1)^2"), (r"2\pi", "2\u03c0"), ("6", "3!"),
    (r"5\times10^3", "5000"), ("3:4", "3/4"), (r"1\frac{1}{2}", "3/2"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}"),
    (r"\text{Monday}", "monday"), ("yes", "Yes."), ("Yes", r"\text{yes}"), (r"\text{no solution}", r"\text{No solution}"),
    (r"\boxed{7}", "7"),
    # lists in prose, both signs, labelled values
    (r"x=1 \text{ or } x=2", "x=2 or x=1"), ("1,2", r"x=1 \quad\text{or}\quad x=2"), ("-1,3", "x=3, -1"), ("x_1=1,x_2=2", "x=2 or x=1"),
    ("3,4,5", "3, 4, and 5"), (r"\frac{1\pm\sqrt{5}}{2}", r"x=\frac{1-\sqrt5}{2} \text{ and } x=\frac{1+\sqrt5}{2}"), (r"\pm 5", "5,-5"),
    ("x=1,y=2", "(1,2)"), ("x=1,y=2", "1,2"), ("(m,n)=(1,2)", "m=1, n=2"), ("5", "5 = x"), ("3", "x=1+2=3"), ("3", "1+2=3"),
    # numbers
    ("9/5", "1 4/5"), ("1 4/5", "1.8"), (r"0.\overline{3}", "1/3"), (r"33\frac{1}{3}\%", r"\frac{1}{3}"), ("12.5", r"12.5\%"),
    ("1500", "1.5e3"), (r"1.6\times10^{-19}", r"1.60\times 10^{-19} \text{ C}"), ("2^{2023}", r"2\cdot 2^{2022}"),
    ("5000000", "5 million"),
    # unions, matrices, empty set
    (r"(-\infty,-2)\cup(2,\infty)", r"x > 2 \text{ or } x < -2"), (r"\emptyset", r"\varnothing"),
    (r"\begin{pmatrix} -1 \\ -7 \\ -24 \end{pmatrix}", r"\begin{pmatrix}-1\\-7\\[2pt]-24\end{pmatrix}"),
    ("0", r"\sqrt2+\sqrt3-\sqrt{5+2\sqrt6}"),
    # units
    ("60 mph", "60 miles per hour"), ("5 inches", "5 in."), ("3 square feet", "3 sq. ft."), ("3m", "3"), ("3 m", "300 cm"),
    ("12", r"12 \frac{m}{s}"),
    ("12", r"12\,\mathrm{N\cdot m}"), ("2:30", "2:30 p.m."), (r"4:05\text{ p.m.}", "4:05 PM"),
    # words, and what stands in Chinese answers
    (r"\text{June 20}", "June 20"), ("III", r"\text{III}"), (r"\text{ellipse}", r"\text{an ellipse}"),
    ("\u7b49\u8170\u4e09\u89d2\u5f62", "\\text{\u7b49\u8170\u4e09\u89d2\u5f62}\u3002"), ("5", "5\u5398\u7c73"),
    ("5\u5398\u7c73", "5 cm"), ("30", "30\u5ea6"),
    ("A", "\u9009A"), ("A", "\uff08\uff21\uff09"), ("(1,2)", "\uff081\uff0c2\uff09"), ("1\u30012", "2, 1"), ("x=1\u6216x=2", "1,2"),
]  # fmt: skip

DIFFERENT = [
    ("3", "3=3"), ("3", "1=2=3"), ("3", "x+y=3"), ("3", "x=1+1=3"), ("x=3", "3=3"), ("x=3", "y=3"), ("2x+z=1", "1"),
    ("3", "no idea"), ("3", ""), ("3", "4"), ("3", "-3"), ("3", r"\text{three}"), ("3 m", "3 cm"), ("2", "2 or 3"), ("2,3", "2"),
    ("A", "B"), ("A", "AB"), ("A", "A and B"), ("A", "5"), ("A", "(A, B)"),
    ("[1,2]", "(1,2)"), ("1<x<2", "1<x<3"), ("0.5", "0.5%"), ("1/3", "0.33"), (r"\frac{1}{100!}", r"\frac{1}{101!}"), ("0", "10^{-100}"),
    ("e^{-300}", "e^{-301}"), ("0.0000001", "0.0000002"), ("1", "1.0001"),
    (r"\sqrt{2}", r"\sqrt{3}"), ("3x", "3"), ("5 apples", "5 red apples"), ("5 apples", "5 pears"), ("3", "3x"), ("2a", "2b"), ("x",
    "y"), ("yes", "no"), (r"\text{Monday}", "Tuesday"),
    ("3", "The sum of the parts"), ("12", "1/0"), ("A", "(A) (B) (C) (D)"), ("A", "(A) or (B)"), ("A", "A. B. C. D"),
    ("14/5", "1 4/5"), ("31/2", "3 1/2"), ("123", "1 2 3"), ("6", "2 3"), ("5", r"5 \text{ million}"), ("12.5", r"125\%"),
    ("0.25", r"0.25\%"),
    (r"0.\overline{3}", "0.3"), (r"1.6\times10^{-19}", r"3.2\times10^{-19}"), ("10^{-20}", r"2\cdot10^{-20}"), ("10^{-20}", "0"),
    ("2^{2023}", "2^{2022}"), ("2^{2023}-1", "2^{2023}"), ("x=1,y=2", "2,1"), ("x=1,x=2", "x=1,y=2"), ("x=1,y=2", "x=1 or x=2"),
    ("x=1,y=2", "(2,1)"), ("x=1,y=2", "x=2,y=1"),
    ("a=1,b=2,c=3", "3,2,1"),
    ("(1,2)", "2,1"), (r"\pm 5", "5"), ("x+y=3", "3"), ("2x+1=0", "0"), (r"(-\infty,-2)\cup(2,\infty)", r"x \ge 2 \text{ or } x < -2"),
    ("3 m", "3 m^2"), ("4:05 a.m.", "4:05 p.m."), ("5 dollars", "5 cents"), ("5", "5 ="), (r"\text{June 20}", "June 21"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 2 \\ 1 \end{pmatrix}"),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "answer"), EQUAL)
def test_equal(gold, answer):
    assert gold_problem(gold) is None
    assert is_correct(gold_text(gold), answer)


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_different(gold, answer):
    assert gold_problem(gold) is None
    assert not is_correct(gold_text(gold), answer)


@pytest.mark.parametrize("gold", [3, -3, 0, 0.5, 1e-7, 1e22, "A", "$x$", r"\frac12", r"\text{no solution}", "(1,2)", "3 cm", "yes"])
def test_gold_answers_without_a_problem(gold):
    assert gold_problem(gold) is None
    assert is_correct(gold_text(gold), gold_text(gold))


@pytest.mark.parametrize(
    ("gold", "problem"),
    [
        (None, "missing"),
        ("", "empty"),
        ("  ", "empty"),
        ("$$", "empty"),
        (r"\boxed{}", "empty"),
        ("see figure", "unparsable"),
        ("See the picture above.", "unparsable"),
        (r"\frac{1", "unparsable"),
        ("1=2=3", "unparsable"),
        (float("nan"), "unparsable"),
        (float("inf"), "unparsable"),
        (True, "unparsable"),
        ("1+" * 2000 + "1", "unparsable"),
    ],
)
def test_gold_answers_with_a_problem(gold, problem):
    assert gold_problem(gold) == f"{problem} gold answer"


@pytest.mark.parametrize(("gold", "text"), [(3, "3"), (1e-7, "0.0000001"), (1e22, "10000000000000000000000"), (2.50, "2.5")])
def test_numbers_become_text_without_exponent(gold, text):
    assert gold_text(gold).rstrip("0").rstrip(".") in {text, text.rstrip("0")}
    assert is_correct(gold_text(gold), text)


def test_an_endless_answer_is_refused_before_it_is_parsed():
    with pytest.raises(Unscorable, match="answer too long"):
        is_correct("3", "{" * 20_000 + "3" + "}" * 20_000)


def _math_verify(gold: str, answer: str) -> bool:
    expressions = (parse(f"${text}$", parsing_timeout=None) for text in (gold, answer))
    return verify(*expressions, allow_set_relation_comp=True, timeout_seconds=None)


@pytest.mark.parametrize("answer", ["(1,3]", "[1,3]", "(1,3)", "(1,4]", r"1<x\le 3", r"1\le x\le 3", r"3\ge x>1", "1<x<3", r"1<x\le 4"])
def test_intervals_are_judged_as_math_verify_judges_them(answer):
    assert is_correct("(1,3]", answer) == _math_verify("(1,3]", answer)


NUMBERS = st.one_of(
    st.integers(-9999, 9999).map(str),
    st.fractions(-50, 50, max_denominator=40).map(lambda f: rf"\frac{{{f.numerator}}}{{{f.denominator}}}"),
    st.integers(-9999, 9999).map(lambda n: str(n / 8)),
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(gold=NUMBERS, answer=NUMBERS)
def test_plain_numbers_are_judged_as_math_verify_judges_them(gold, answer):
    assert is_correct(gold, answer) == _math_verify(gold, answer)
    assert is_correct(gold, gold) and _math_verify(gold, gold)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(value=st.fractions(-20, 20, max_denominator=9), root=st.sampled_from([2, 3, 5]), change=st.sampled_from([0, 1, Fraction(1, 3)]))
def test_surds_are_judged_as_math_verify_judges_them(value, root, change):
    gold = rf"\frac{{{value.numerator}\sqrt{{{root}}}}}{{{value.denominator}}}"
    other = value + change
    answer = rf"\frac{{{other.numerator * root}}}{{{other.denominator}\sqrt{{{root}}}}}"
    assert is_correct(gold, answer) == (change == 0) == _math_verify(gold, answer)
