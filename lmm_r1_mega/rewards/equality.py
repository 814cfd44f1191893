"""Whether an answer equals the gold answer: by letter, by words, by exact fractions, and else by math-verify.

The only owner of math-verify. Nothing here bounds its own time: it is called in worker processes that can be killed.
"""

from __future__ import annotations

import logging
import math
import re
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from latex2sympy2_extended.latex2sympy2 import latex2sympy, normalize_latex
from math_verify import LatexExtractionConfig, verify
from math_verify.grader import should_treat_as_complex
from sympy import Basic, Expr, MatrixBase, UnevaluatedExpr

from lmm_r1_mega.rewards.extract import final_expression
from lmm_r1_mega.rewards.notation import Reading, read, squeezed
from lmm_r1_mega.rewards.units import are_different
from lmm_r1_mega.rewards.values import Number

MAX_ANSWER_LENGTH = 2000
NORMALIZATION = replace(LatexExtractionConfig().normalization_config, units=False)  # `notation` knows `3m` from `3 m`
BOMBS = (MemoryError, RecursionError)
LOOSE_DIGITS = re.compile(r"(?<![_^])\d\s+\d")
OPEN_BRACKETS = {"", "{}", "()"}
ZERO = 1e-90
"""Of what sympy works out to 0 a rest of 1e-100 may be left."""

logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its own timeouts are off: ours kill from outside


class Unscorable(Exception):
    """No reward can be given; the message is the reason that is counted."""


def gold_problem(answer: str | float | None) -> str | None:
    r"""What is wrong with a gold answer, or None where responses can be compared with it.

    Example: None, "", "$$" and "see figure" have a problem; 3, "A", `$\frac12$` and `\text{no solution}` have none.
    """
    if answer is None:
        return "missing gold answer"
    if isinstance(answer, bool) or (isinstance(answer, float) and not math.isfinite(answer)):
        return "unparsable gold answer"
    text = gold_text(answer)
    reading = read(text[:MAX_ANSWER_LENGTH])
    if not reading.text:
        return "empty gold answer"
    if reading.option or reading.phrase or reading.number or reading.numbers:
        return None
    is_parsable = len(text) <= MAX_ANSWER_LENGTH and not reading.is_prose and reading.relation != "chain"
    return None if is_parsable and _parse(_algebra(reading)) is not None else "unparsable gold answer"


def gold_text(answer: str | float) -> str:
    """The gold answer as text: numbers without exponent, boxes taken off."""
    if isinstance(answer, float):
        return format(Decimal(repr(answer)), "f")
    text = str(answer)
    return (final_expression(text) or "") if "\\boxed" in text else text


@lru_cache(maxsize=8192)
def is_correct(gold: str, answer: str) -> bool:
    """Whether an answer equals a gold answer that `gold_problem` finds nothing wrong with.

    Raises `Unscorable` for an answer that is too long; `RecursionError` and `MemoryError` pass through.
    """
    if len(answer) > MAX_ANSWER_LENGTH:
        raise Unscorable("answer too long")
    expected, given = read(gold), read(answer)
    if expected.option:
        return given.option == expected.option
    if expected.plain == given.plain:
        return True
    if expected.phrase:
        return expected.phrase == (given.phrase or given.plain.lower())
    if not given.text or given.is_prose or not _may_answer(given, expected):
        return False
    if _compares_names(expected, given):
        return _algebra_equal(expected.text, given.text)
    if expected.number and given.number:
        return _numbers_equal(expected.number, given.number)
    if expected.numbers and given.numbers:
        return _lists_equal(expected, given)
    return squeezed(expected.value) == squeezed(given.value) or _algebra_equal(expected.value, given.value)


def _may_answer(given: Reading, expected: Reading) -> bool:
    """Rules out chains (`1=2=3`), equations for values (`3=3` for 3) and the reverse, other units, and another variable's value."""
    if given.relation == "chain" or (given.relation == "equation" and not (expected.names or expected.relation == "equation")):
        return False
    if given.relation == "equation" and not any(letter.isalpha() for letter in given.text):
        return False
    if (expected.relation == "equation" and given.relation == "value") or are_different(expected.unit, given.unit):
        return False
    if min(len(expected.names), len(given.names)) > 1:
        return expected.variables == given.variables
    names = (*expected.names, *given.names)
    return not (len(names) == 2 and len(expected.names) == 1 and names[0] != names[1] and max(map(len, names)) == 1)


def _compares_names(expected: Reading, given: Reading) -> bool:
    """Whether the left sides take part in the comparison: equations, and values of several names on both sides."""
    return "equation" in (expected.relation, given.relation) or (expected.has_several_names and given.has_several_names)


def _numbers_equal(expected: Number, given: Number) -> bool:
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


def _lists_equal(expected: Reading, given: Reading) -> bool:
    r"""Number by number, in any order where the gold answer is a set or a bare list.

    Brackets must be the same: they may close an interval. But `(1,2)`, `1,2` and `\{1,2\}` stand for one another.
    """
    if expected.brackets != given.brackets and not {expected.brackets, given.brackets} <= OPEN_BRACKETS:
        return False
    is_set = expected.brackets in ("", "{}")
    sides = [sorted(side.numbers, key=lambda number: number.value) if is_set else side.numbers for side in (expected, given)]
    return len(sides[0]) == len(sides[1]) and all(_numbers_equal(a, b) for a, b in zip(*sides, strict=True))


def _algebra(reading: Reading) -> str:
    """What math-verify is to read."""
    return reading.text if reading.relation == "equation" else reading.value


def _algebra_equal(gold: str, answer: str) -> bool:
    """math-verify's verdict, gold first: its rules are not symmetric."""
    expected, given = _parse(gold), _parse(answer)
    if expected is None or given is None:
        return False
    _evaluate(given)
    if _differ_in_value(expected, given):
        return False
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


def _differ_in_value(expected: Basic | MatrixBase, given: Basic | MatrixBase) -> bool:
    """Whether both are numbers that lie clearly apart.

    math-verify takes every difference below 1e-15 for none, so that 1e-19 were 2e-19; and this spares its attempts to simplify.
    """
    if not all(isinstance(side, Expr) and not side.free_symbols and not side.has(UnevaluatedExpr) for side in (expected, given)):
        return False
    try:
        a, b = expected.evalf(15), given.evalf(15)
        return bool(abs(a - b) > 1e-6 * max(abs(a), min(1, 10 * abs(a))) + ZERO)
    except BOMBS:
        raise
    except Exception:  # not a number: has variables, or no finite value
        return False


@lru_cache(maxsize=8192)
def _parse(text: str) -> Basic | MatrixBase | None:
    """The expression, not yet worked out; None where the text is not algebra, as `1 4/5`, which the parser would read as 14/5."""
    if LOOSE_DIGITS.search(text):
        return None
    try:
        latex = normalize_latex(text, config=NORMALIZATION)
        parsed = latex2sympy(latex, is_real=not should_treat_as_complex(latex), convert_degrees=False, normalization_config=None)
    except BOMBS:
        raise
    except Exception:  # the parser raises bare exceptions for text that it cannot read
        return None
    return parsed if isinstance(parsed, Basic | MatrixBase) else None
