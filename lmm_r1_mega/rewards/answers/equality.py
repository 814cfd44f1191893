"""Whether an answer equals the gold answer: by letter, by words, by exact fractions, and else by math-verify.

The only owner of math-verify. Nothing here bounds its own time: it is called in worker processes that can be killed.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from latex2sympy2_extended.latex2sympy2 import latex2sympy, normalize_latex
from math_verify import LatexExtractionConfig, verify
from math_verify.grader import should_treat_as_complex
from sympy import Basic, Expr, MatrixBase, UnevaluatedExpr

from lmm_r1_mega.rewards.answers.algebra import is_algebra, is_numeric
from lmm_r1_mega.rewards.answers.extract import REASON, boxed_answer, final_answers, gold_text
from lmm_r1_mega.rewards.answers.notation import Assignment, Equation, Form, Members, Notation, Option, ParsedAnswer, Words, parse_answer
from lmm_r1_mega.rewards.answers.quantity import Quantity
from lmm_r1_mega.rewards.answers.times import same_date
from lmm_r1_mega.rewards.answers.undress import strip_spaces, undress
from lmm_r1_mega.rewards.answers.units import Unit
from lmm_r1_mega.rewards.answers.values import Number

MAX_ANSWER_LENGTH = 2000
NORMALIZATION = replace(LatexExtractionConfig().normalization_config, units=False)  # `notation` knows `3m` from `3 m`
BOMBS = (MemoryError, RecursionError)
PLACEHOLDER = re.compile(
    r"(?:please\s+)?(?:see|refer\s+to|as\s+shown\s+in|shown\s+in)\b.*\b(?:figure|picture|image|diagram|graph|photo|solution|above|below|attached"
    r"|explanation)\b.*",
    re.IGNORECASE | re.DOTALL,
)
"""A gold answer that says where the answer is."""
ALTERNATIVES = re.compile(r"\s*\[\s*([\"']).*\1\s*\]\s*", re.DOTALL)
UNSAID = {frozenset(pair) for pair in (("degree", "degC"), ("degree", "degF"), ("kg", "quid"))}
"""Dimensions that one word may mean: degrees, pounds."""
APART = re.compile(r"(?<=[\d)}])\s+(?=[a-zA-Z](?![a-zA-Z]))|(?<=[-+])\s+")
WORD_MARK = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+")
INDEX_MARK = re.compile(r"(?:(?<=[a-zA-Z])|(?<=[a-zA-Z]\)))_(?:\{(\w+)\}|(\w))")
MANY_LETTERS = 4
WORD = re.compile(r"(?<![\\a-zA-Z])[A-Z]?[a-z]{2,}|[\u4e00-\u9fff]")
EXPONENT = re.compile(r"\^\{(\d{1,99})(?:\^\{(\d{1,9}))?")
MAX_EXPONENT = 10**6
"""A gold answer with a larger one is not worked out: it equals its own text."""
ZERO = 1e-90
"""Of what sympy works out to 0 a rest of 1e-100 may be left."""

logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its own timeouts are off: ours kill from outside


class Unscorable(Exception):
    """No reward can be given; the message is the reason that is counted."""


def gold_problem(answer: str | float | None) -> str | None:
    r"""What is wrong with a gold answer, or None where responses can be compared with it.

    Example: None, "", "$$" and "see figure" have a problem; 3, "A", `$\frac12$` and "no solution" have none.
    """
    if answer is None:
        return "missing gold answer"
    if isinstance(answer, bool) or (isinstance(answer, float) and not math.isfinite(answer)):
        return "unparsable gold answer"
    text = gold_text(answer)
    bare = undress(text[:MAX_ANSWER_LENGTH])
    if not bare:
        return "empty gold answer"
    braces = bare.replace("\\{", "").replace("\\}", "")
    is_broken = braces.count("{") != braces.count("}") or len(text) > MAX_ANSWER_LENGTH
    is_chain = parse_answer(text).is_words and all(map(is_numeric, bare.split("="))) and bare.count("=") > 1
    return "unparsable gold answer" if is_broken or is_chain or PLACEHOLDER.fullmatch(bare) else None


def answers_gold(gold: str, region: str) -> bool:
    """Whether a region of a response says a gold answer that `gold_problem` finds nothing wrong with.

    Raises `Unscorable` for an answer that is too long; `RecursionError` and `MemoryError` pass through.
    """
    if any(is_same_text(one, text) for text in (region, boxed_answer(region) or "") for one in alternatives(gold)):
        return True
    return any(is_correct(gold, text, is_named=is_named) for text, is_named in final_answers(region))


def alternatives(gold: str) -> list[str]:
    """The answers of which each is right: those of a JSON list of texts, else the one."""
    if not ALTERNATIVES.fullmatch(gold):
        return [gold]
    try:
        listed = json.loads(gold)
    except ValueError:
        return [gold]
    return [gold, *listed] if all(isinstance(one, str) for one in listed) else [gold]


def is_same_text(gold: str, answer: str) -> bool:
    """Whether two answers are the same letter by letter, once in one spelling."""
    return len(answer) <= MAX_ANSWER_LENGTH and undress(answer) != "" and strip_spaces(undress(gold)) == strip_spaces(undress(answer))


@lru_cache(maxsize=8192)
def is_correct(gold: str, answer: str, *, is_named: bool = False) -> bool:
    """Whether an answer equals a gold answer; `is_named` where words before it have said what it is.

    Raises as `answers_gold`.
    """
    if len(answer) > MAX_ANSWER_LENGTH:
        raise Unscorable("answer too long")
    given = parse_answer(answer, is_named=is_named)
    return any(same(parse_answer(one), given) for one in alternatives(gold))


def same(expected: ParsedAnswer, given: ParsedAnswer) -> bool:
    """Whether two parsed answers are equal, the gold answer first: form by form, member by member."""
    gold, answer = expected.form, given.form
    if expected.text and expected.text == given.text:
        return not isinstance(gold, Equation) or bool(re.search(r"[a-zA-Z]", gold.text))
    if isinstance(gold, Option) or isinstance(answer, Option):
        return _same_option(expected, given)
    if isinstance(gold, Words) or isinstance(answer, Words):
        is_same = INDEX_MARK.sub(r"\1\2", expected.text) == INDEX_MARK.sub(r"\1\2", given.text)
        if is_same or not isinstance(gold, Words):
            return is_same
        words = answer.words if isinstance(answer, Words) else given.text.lower()
        lists = {tuple(WORD_MARK.split(side.strip("[]"))) for side in (gold.words, words)}
        return gold.words == words or (gold.words.startswith("[") and len(lists) == 1)
    if isinstance(gold, Assignment | Equation) or isinstance(answer, Assignment | Equation):
        return _same_relation(expected, given)
    if isinstance(gold, Notation) or isinstance(answer, Notation):
        return _same_notation(gold, answer)
    if isinstance(gold, Members) and isinstance(answer, Members):
        return _same_members(gold, answer)
    if isinstance(gold, Members) and gold.brackets == "{}" and len(gold.items) == 1:
        return same(gold.items[0], given)
    return isinstance(gold, Quantity) and isinstance(answer, Quantity) and _same_quantity(gold, answer)


def _same_option(expected: ParsedAnswer, given: ParsedAnswer) -> bool:
    """By the letter where the gold answer has one, and by what stands behind the letter where both have that."""
    gold, answer = expected.form, given.form
    if isinstance(gold, Option) and isinstance(answer, Option):
        text = REASON.sub("", f" {answer.text}").strip()
        return gold.letter == answer.letter and (not gold.text or not text or _same_text(gold.text, text))
    if isinstance(gold, Option):
        return bool(gold.text) and same(parse_answer(gold.text), given)
    return isinstance(answer, Option) and bool(answer.text) and same(expected, parse_answer(answer.text))


def _same_notation(gold: Form, answer: Form) -> bool:
    """Member by member; a ratio of two may be a fraction, one written as a time may be a ratio where the gold answer is one."""
    if isinstance(gold, Notation) and isinstance(answer, Notation):
        if gold.sort == "ratio" and answer.sort == "clock" and not answer.members[3]:
            answer = Notation("ratio", tuple(part for part in answer.members if part))
        return gold.sort == answer.sort and SAME_MEMBERS[gold.sort](gold.members, answer.members)
    notation, other = (gold, answer) if isinstance(gold, Notation) else (answer, gold)
    if not isinstance(notation, Notation):
        return False
    if notation.sort == "ratio" and isinstance(other, Quantity) and len(notation.members) == 2:
        is_fraction = other.number is None or other.number.value.denominator > 1
        return is_fraction and not other.unit and _same_ratio((other.value, "1"), notation.members)
    if notation.sort in ("statements", "letters") and isinstance(other, Members):
        return sorted(item.text.strip("()") for item in other.items) == sorted(notation.members)
    return False


def _same_order(gold: tuple[str, ...], answer: tuple[str, ...]) -> bool:
    return len(gold) == len(answer) and all(map(_same_text, gold, answer))


def _same_letters(gold: tuple[str, ...], answer: tuple[str, ...]) -> bool:
    """In any order; but many letters, or letters that are not in the alphabet's order, are an order themselves."""
    is_set = sorted(gold) == list(gold) and len(gold) < MANY_LETTERS
    return sorted(gold) == sorted(answer) if is_set else gold == answer


def _same_time(gold: tuple[str, ...], answer: tuple[str, ...]) -> bool:
    """`15:30` is `3:30 pm`; a gold answer without its half of the day is right by its digits."""
    (hours, minutes, seconds, half), (other_hours, other_minutes, other_seconds, other_half) = gold, answer
    if (int(minutes), int(seconds or 0)) != (int(other_minutes), int(other_seconds or 0)):
        return False
    if not half and int(hours) == int(other_hours):
        return True
    hour, other_hour = (int(h) % 12 + 12 * (p == "pm") if p else int(h) for h, p in ((hours, half), (other_hours, other_half)))
    return hour == other_hour


def _same_ratio(gold: tuple[str, ...], answer: tuple[str, ...]) -> bool:
    """Proportional: every member times the other's first."""
    return len(gold) == len(answer) and all(
        _same_text(f"({a})*({answer[0]})", f"({b})*({gold[0]})") for a, b in zip(gold[1:], answer[1:], strict=True)
    )


SAME_MEMBERS: dict[str, Callable[[tuple[str, ...], tuple[str, ...]], bool]] = {
    "letters": _same_letters,
    "statements": lambda gold, answer: sorted(gold) == sorted(answer),
    "clock": _same_time,
    "date": same_date,
    "base": lambda gold, answer: gold == answer,
    "range": _same_order,
    "ratio": _same_ratio,
    "order": _same_order,
}


def _same_text(gold: str, answer: str) -> bool:
    return same(parse_answer(gold), parse_answer(answer))


def _same_relation(expected: ParsedAnswer, given: ParsedAnswer) -> bool:
    """Equations as equations; values of names by their values, and by their names where both have one."""
    gold, answer = expected.form, given.form
    if isinstance(gold, Equation) or isinstance(answer, Equation):
        relations = isinstance(gold, Equation | Assignment) and isinstance(answer, Equation | Assignment)
        return relations and bool(re.search(r"[a-zA-Z]", given.text)) and _algebra_equal(expected.text, given.text)
    if isinstance(gold, Assignment) and isinstance(answer, Assignment) and not _same_names(gold, answer):
        return False
    if isinstance(gold, Assignment) and gold.names == ("",):
        return False
    if isinstance(answer, Assignment) and answer.steps and answer.steps[0].startswith("\\approx"):
        near = parse_answer(answer.steps[0])
        return _is_rounded(answer.value, near) and any(same(expected, side) for side in (answer.value, near))
    for side in (gold, answer):
        if isinstance(side, Assignment) and not all(_is_step(step, side.value) for step in side.steps):
            return False
    if isinstance(gold, Assignment) and isinstance(answer, Assignment) and min(len(gold.variables), len(answer.variables)) > 1:
        values = dict(zip(answer.names, answer.values, strict=True))
        return len(gold.names) == len(values) and all(
            name in values and same(value, values[name]) for name, value in zip(gold.names, gold.values, strict=True)
        )
    return same(*(side.form.value if isinstance(side.form, Assignment) else side for side in (expected, given)))


def _is_step(step: str, value: ParsedAnswer) -> bool:
    """Whether a member of a chain is equal to its last; calculated, also where it alone were a range: `90-25`."""
    if isinstance(value.form, Quantity) and value.form.number:
        return _same_quantity(Quantity(step), replace(value.form, unit=None))
    return _same_text(step, value.text)


def _is_rounded(exact: ParsedAnswer, near: ParsedAnswer) -> bool:
    """Whether a decimal is an exact value up to one in its last place."""
    if not isinstance(exact.form, Quantity) or not isinstance(near.form, Quantity) or not near.form.number:
        return False
    value, place = _parse(exact.form.value, is_complex=False), 10 ** -len(near.form.value.rstrip("%").partition(".")[2])
    return isinstance(value, Expr) and value.is_number and bool(abs(value.evalf(15) - float(near.form.number.value)) <= place * 0.51)


def _same_names(gold: Assignment, answer: Assignment) -> bool:
    """Not another variable's value; but words for a name, and `y` for `f(x)`."""
    if min(len(gold.names), len(answer.names)) > 1:
        return gold.variables == answer.variables
    names = gold.variables | answer.variables
    if len(names) == 1 or max(len(gold.variables), len(answer.variables)) > 1:
        return True
    return any(not name or WORD.search(name) for name in names) or ("y" in names and any("(" in name for name in names))


def _same_members(gold: Members, answer: Members) -> bool:
    r"""Member by member, in any order where the gold answer is a set or a bare list.

    Brackets must be the same: they may close an interval. But a bare list stands for a pair and for a set.
    """
    brackets = {gold.brackets, answer.brackets}
    if len(gold.items) != len(answer.items) or (len(brackets) > 1 and brackets not in ({"", "{}"}, {"", "()"})):
        return False
    if gold.is_ordered:
        return all(map(same, gold.items, answer.items))
    left = list(answer.items)
    for item in gold.items:
        found = next((place for place, other in enumerate(left) if same(item, other)), None)
        if found is None:
            return False
        del left[found]
    return True


def _same_quantity(gold: Quantity, answer: Quantity) -> bool:
    """Equal values of one dimension; a unit that one side does not say is the other's."""
    ratio = _unit_ratio(gold.unit, answer.unit)
    is_share_of_a_measure = any(
        a.unit and a.unit.dimension and b.number and b.number.is_percent for a, b in ((gold, answer), (answer, gold))
    )
    if ratio is None or is_share_of_a_measure:
        return False
    if gold.number and answer.number:
        return _same_number(gold.number, replace(answer.number, value=answer.number.value * ratio))
    value = answer.value if ratio == 1 else f"({answer.value})\\times\\frac{{{ratio.numerator}}}{{{ratio.denominator}}}"
    return strip_spaces(gold.value) == strip_spaces(value) or _algebra_equal(gold.value, value)


def _unit_ratio(gold: Unit | None, answer: Unit | None) -> Fraction | None:
    """How many of the gold answer's unit the answer's is; None where they measure different things."""
    if not gold or not answer or not gold.dimension or not answer.dimension:
        return Fraction(1)
    if gold.dimension == answer.dimension:
        return answer.factor / gold.factor
    names = [name for unit in (gold, answer) for name, _ in unit.dimension]
    return Fraction(1) if len(names) == 2 and frozenset(names) in UNSAID else None


def _same_number(expected: Number, given: Number) -> bool:
    """Exact for fractions; six decimals (of a small number, six digits) where one was written as a decimal.

    `50%` is 0.5, and also 50 as every number from 1 on: there the sign is a unit.
    """
    values = [(expected.value, given.value)]
    if expected.is_percent != given.is_percent:
        bare = [number.value * (100 if number.is_percent else 1) for number in (expected, given)]
        values += [(bare[0], bare[1])] if min(map(abs, bare)) >= 1 else []
    if not (expected.is_decimal or given.is_decimal):
        return any(a == b for a, b in values)
    return any(abs(a - b) <= Fraction(1, 2_000_000) * min(Fraction(1), 10 * abs(a)) for a, b in values)


def _algebra_equal(gold: str, answer: str) -> bool:
    """math-verify's verdict, gold first: its rules are not symmetric."""
    if any(int(base) ** min(int(power or 1), 99) > MAX_EXPONENT for base, power in EXPONENT.findall(gold)):
        return False
    is_complex = should_treat_as_complex(gold) or should_treat_as_complex(answer)
    expected, given = (_parse(text, is_complex=is_complex) for text in (gold, answer))
    if expected is None or given is None:
        return False
    _evaluate(given)
    is_equal = _same_value(expected, given)
    if is_equal is not None:
        return is_equal
    try:
        return verify(expected, given, allow_set_relation_comp=True, timeout_seconds=None, raise_on_error=True)
    except BOMBS:
        raise
    except Exception:  # whatever the algebra of a model's text runs into, the texts are not equal
        return False


def _evaluate(expression: Basic | MatrixBase) -> None:
    """Works the expression out once, so that a bomb is seen here: math-verify would swallow the error and answer no."""
    try:
        expression.doit()
    except BOMBS:
        raise
    except Exception:  # math-verify has other ways to compare what cannot be worked out
        return


def _same_value(expected: Basic | MatrixBase, given: Basic | MatrixBase) -> bool | None:
    """Whether both are the same number; None where that is math-verify's to say.

    math-verify takes every difference below 1e-15 for none, so that 1e-19 were 2e-19; and this spares its attempts to simplify.
    """
    if not all(isinstance(side, Expr) and not side.free_symbols and not side.has(UnevaluatedExpr) for side in (expected, given)):
        return None
    try:
        a, b = expected.doit(), given.doit()
        if a.is_Rational and b.is_Rational:
            return bool(a == b)
        rest = 0 if a.is_zero is False and b.is_zero is False else ZERO
        a, b = a.evalf(15), b.evalf(15)
        return False if abs(a - b) > 1e-6 * max(abs(a), min(1, 10 * abs(a))) + rest else None
    except BOMBS:
        raise
    except Exception:  # not a number: has variables, or no finite value
        return None


@lru_cache(maxsize=8192)
def _parse(text: str, *, is_complex: bool) -> Basic | MatrixBase | None:
    """The expression, not yet worked out; None where the text is not algebra."""
    if not is_algebra(text):
        return None
    try:
        latex = normalize_latex(APART.sub("", text), config=NORMALIZATION)
        parsed = latex2sympy(latex, is_real=not is_complex, convert_degrees=False, normalization_config=None)
    except BOMBS:
        raise
    except Exception:  # the parser raises bare exceptions for text that it cannot read
        return None
    return parsed if isinstance(parsed, Basic | MatrixBase) else None
