"""Whether an answer equals the gold answer: a table of the kinds that may be equal, with the comparison of each pair."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from types import UnionType
from typing import Any

from lmm_r1_mega.rewards.answers.algebra import algebra_equal, is_numeric, is_rounded
from lmm_r1_mega.rewards.answers.choices import same_letters, same_statements
from lmm_r1_mega.rewards.answers.extract import REASON, boxed_answer, final_answers, gold_text
from lmm_r1_mega.rewards.answers.kinds import (
    Assignment,
    Choice,
    ClockTime,
    Collection,
    Date,
    Equation,
    Expression,
    Letters,
    Number,
    NumberInBase,
    Ordering,
    ParsedAnswer,
    Range,
    Ratio,
    Statements,
    Words,
)
from lmm_r1_mega.rewards.answers.normalize import normalize_latex, strip_spaces
from lmm_r1_mega.rewards.answers.parse import parse_answer
from lmm_r1_mega.rewards.answers.times import same_date, same_time
from lmm_r1_mega.rewards.answers.units import Unit

MAX_ANSWER_LENGTH = 2000
PLACEHOLDER = re.compile(
    r"(?:please\s+)?(?:see|refer\s+to|as\s+shown\s+in|shown\s+in)\b.*\b(?:figure|picture|image|diagram|graph|photo|solution|above|below|attached"
    r"|explanation)\b.*",
    re.IGNORECASE | re.DOTALL,
)
"""A gold answer that says where the answer is."""
ALTERNATIVES = re.compile(r"\s*\[\s*([\"']).*\1\s*\]\s*", re.DOTALL)
AMBIGUOUS = {frozenset(pair) for pair in (("degree", "degC"), ("degree", "degF"), ("kg", "quid"))}
"""Dimensions that one word may mean: degrees, pounds."""
WORD_MARK = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+")
INDEX_MARK = re.compile(r"(?:(?<=[a-zA-Z])|(?<=[a-zA-Z]\)))_(?:\{(\w+)\}|(\w))")
WORD = re.compile(r"(?<![\\a-zA-Z])[A-Z]?[a-z]{2,}|[\u4e00-\u9fff]")


class Unscorable(Exception):
    """No reward can be given; the message is the reason that is counted."""


def gold_problem(answer: str | float | None) -> str | None:
    r"""What is wrong with a gold answer, or None if responses can be compared with it.

    Example: None, "", "$$" and "see figure" have a problem; 3, "A", `$\frac12$` and "no solution" have none.
    """
    if answer is None:
        return "missing gold answer"
    if isinstance(answer, bool) or (isinstance(answer, float) and not math.isfinite(answer)):
        return "unparsable gold answer"
    text = gold_text(answer)
    bare = normalize_latex(text[:MAX_ANSWER_LENGTH])
    if not bare:
        return "empty gold answer"
    braces = bare.replace("\\{", "").replace("\\}", "")
    is_broken = braces.count("{") != braces.count("}") or len(text) > MAX_ANSWER_LENGTH
    is_chain = bare.count("=") > 1 and all(map(is_numeric, bare.split("="))) and isinstance(parse_answer(text), Words)
    return "unparsable gold answer" if is_broken or is_chain or PLACEHOLDER.fullmatch(bare) else None


def answers_gold(gold: str, region: str) -> bool:
    """Whether a region of a response says a gold answer that `gold_problem` finds nothing wrong with.

    Raises `Unscorable` for an answer that is too long; `RecursionError` and `MemoryError` pass through.
    """
    if any(_is_same_text(right, text) for text in (region, boxed_answer(region) or "") for right in _alternatives(gold)):
        return True
    return any(is_correct(gold, text, is_named=is_named) for text, is_named in final_answers(region))


def _alternatives(gold: str) -> list[str]:
    """The answers of which each is right: those of a JSON list of texts, else the gold answer alone."""
    try:
        listed = json.loads(gold) if ALTERNATIVES.fullmatch(gold) else []
    except ValueError:
        listed = []
    return [gold, *listed] if all(isinstance(right, str) for right in listed) else [gold]


def _is_same_text(gold: str, answer: str) -> bool:
    """Whether two answers are the same letter by letter, once in one spelling."""
    if len(answer) > MAX_ANSWER_LENGTH:
        return False
    text = strip_spaces(normalize_latex(answer))
    return text != "" and text == strip_spaces(normalize_latex(gold))


@lru_cache(maxsize=8192)
def is_correct(gold: str, answer: str, *, is_named: bool = False) -> bool:
    """Whether an answer equals a gold answer; `is_named` if words before it have said what it is.

    Raises as `answers_gold`.
    """
    if len(answer) > MAX_ANSWER_LENGTH:
        raise Unscorable("answer too long")
    parsed = parse_answer(answer, is_named=is_named)
    return any(same(parse_answer(right), parsed) for right in _alternatives(gold))


def same(gold: ParsedAnswer, answer: ParsedAnswer) -> bool:
    """Whether two parsed answers are equal, the gold answer first: by the first row of the table that has both kinds."""
    if gold.text and gold.text == answer.text:
        return not isinstance(gold, Equation) or bool(re.search(r"[a-zA-Z]", gold.text))
    rows = (compare for of_gold, of_answer, compare in COMPARISONS if isinstance(gold, of_gold) and isinstance(answer, of_answer))
    compare = next(rows, None)
    return compare is not None and bool(compare(gold, answer))


def _same_texts(gold: str, answer: str) -> bool:
    return same(parse_answer(gold), parse_answer(answer))


def _same_members(gold: tuple[str, ...], answer: tuple[str, ...]) -> bool:
    return len(gold) == len(answer) and all(map(_same_texts, gold, answer))


def _same_choice(gold: Choice, answer: Choice) -> bool:
    """By the letter, and by what stands behind the letter if both have that."""
    content = REASON.sub("", f" {answer.content}").strip()
    return gold.letter == answer.letter and (not gold.content or not content or _same_texts(gold.content, content))


def _same_words(gold: Words, answer: ParsedAnswer) -> bool:
    """In lower case and without the marks of indices (`H_2O` is `H2O`); a gold list in brackets also by its members."""
    if INDEX_MARK.sub(r"\1\2", gold.text) == INDEX_MARK.sub(r"\1\2", answer.text):
        return True
    words = answer.words if isinstance(answer, Words) else answer.text.lower()
    lists = {tuple(WORD_MARK.split(side.strip("[]"))) for side in (gold.words, words)}
    return gold.words == words or (gold.words.startswith("[") and len(lists) == 1)


def _same_equation(gold: Equation | Assignment, answer: Equation | Assignment) -> bool:
    return bool(re.search(r"[a-zA-Z]", answer.text)) and algebra_equal(gold.text, answer.text)


def _same_assignment(gold: Assignment, answer: Assignment) -> bool:
    """By values, and by names if both have one; every step must hold."""
    if not _same_names(gold, answer) or not _steps_hold(gold):
        return False
    if min(len(gold.variables), len(answer.variables)) < 2 or _is_approximation(answer):
        return _has_value(gold.value, answer)
    values = dict(zip(answer.names, answer.values, strict=True))
    if len(gold.names) != len(values) or not _steps_hold(answer):
        return False
    return all(name in values and same(value, values[name]) for name, value in zip(gold.names, gold.values, strict=True))


def _has_value(gold: ParsedAnswer, answer: Assignment) -> bool:
    """By the value; of `2\\sqrt{13} \\approx 7.21` either side, if they are near."""
    if _is_approximation(answer):
        exact, near = answer.value, parse_answer(answer.steps[0])
        is_near = isinstance(exact, Number | Expression) and isinstance(near, Number) and is_rounded(exact.latex, near.latex.rstrip("%"))
        return is_near and any(same(gold, side) for side in (exact, near))
    return _steps_hold(answer) and same(gold, answer.value)


def _is_approximation(answer: Assignment) -> bool:
    return any(step.startswith("\\approx") for step in answer.steps)


def _gold_has_value(gold: Assignment, answer: ParsedAnswer) -> bool:
    return gold.names != ("",) and _steps_hold(gold) and same(gold.value, answer)


def _steps_hold(assignment: Assignment) -> bool:
    """Whether every member of a chain is equal to its last; calculated, also if it alone were a range: `90-25`."""
    value = assignment.value
    if isinstance(value, Number):
        return all(_same_quantity(Expression(step), replace(value, unit=None)) for step in assignment.steps)
    return all(_same_texts(step, value.text) for step in assignment.steps)


def _same_names(gold: Assignment, answer: Assignment) -> bool:
    """Not another variable's value; but words for a name, and `y` for `f(x)`."""
    if gold.names == ("",):
        return False
    if min(len(gold.names), len(answer.names)) > 1:
        return gold.variables == answer.variables
    names = gold.variables | answer.variables
    if len(names) == 1 or max(len(gold.variables), len(answer.variables)) > 1:
        return True
    return any(not name or WORD.search(name) for name in names) or ("y" in names and any("(" in name for name in names))


def _same_ratio(gold: tuple[str, ...], answer: tuple[str, ...]) -> bool:
    """Proportional: every member times the other's first."""
    return len(gold) == len(answer) and all(
        _same_texts(f"({a})*({answer[0]})", f"({b})*({gold[0]})") for a, b in zip(gold[1:], answer[1:], strict=True)
    )


def _same_fraction(ratio: Ratio, value: Number | Expression) -> bool:
    """`3:4` is `3/4`; no integer is a ratio."""
    is_fraction = not isinstance(value, Number) or value.value.denominator > 1
    return is_fraction and not value.unit and len(ratio.members) == 2 and _same_ratio((value.latex, "1"), ratio.members)


def _clock_as_ratio(gold: Ratio, answer: ClockTime) -> bool:
    members = tuple(part for part in (answer.hours, answer.minutes, answer.seconds) if part)
    return not answer.half and _same_ratio(gold.members, members)


def _same_collection(gold: Collection, answer: Collection) -> bool:
    r"""Member by member, in any order if the gold answer is a set or a bare list.

    Brackets must be the same: they may close an interval. But a bare list stands for a pair and for a set.
    """
    brackets = {gold.brackets, answer.brackets}
    if len(gold.items) != len(answer.items) or (len(brackets) > 1 and brackets not in ({"", "{}"}, {"", "()"})):
        return False
    if gold.is_ordered:
        return all(map(same, gold.items, answer.items))
    left = list(answer.items)
    for item in gold.items:
        position = next((position for position, other in enumerate(left) if same(item, other)), None)
        if position is None:
            return False
        del left[position]
    return True


def _same_single(gold: Collection, answer: ParsedAnswer) -> bool:
    r"""`\{5\}` is 5."""
    return gold.brackets == "{}" and len(gold.items) == 1 and same(gold.items[0], answer)


def _same_quantity(gold: Number | Expression, answer: Number | Expression) -> bool:
    """Equal values of one dimension; a unit that one side does not say is the other's."""
    ratio = _unit_ratio(gold.unit, answer.unit)
    if ratio is None or _is_share_of(gold, answer) or _is_share_of(answer, gold):
        return False
    if isinstance(gold, Number) and isinstance(answer, Number):
        return _same_number(gold, replace(answer, value=answer.value * ratio))
    latex = answer.latex if ratio == 1 else f"({answer.latex})\\times\\frac{{{ratio.numerator}}}{{{ratio.denominator}}}"
    return strip_spaces(gold.latex) == strip_spaces(latex) or algebra_equal(gold.latex, latex)


def _is_share_of(share: Number | Expression, measure: Number | Expression) -> bool:
    """A percentage is no length: `50%` against `50 m`."""
    return isinstance(share, Number) and share.is_percent and measure.unit is not None and measure.unit.dimension != ()


def _unit_ratio(gold: Unit | None, answer: Unit | None) -> Fraction | None:
    """How many of the gold answer's unit the answer's is; None if they measure different things."""
    if not gold or not answer or not gold.dimension or not answer.dimension:
        return Fraction(1)
    if gold.dimension == answer.dimension:
        return answer.factor / gold.factor
    names = [name for unit in (gold, answer) for name, _ in unit.dimension]
    return Fraction(1) if len(names) == 2 and frozenset(names) in AMBIGUOUS else None


def _same_number(gold: Number, answer: Number) -> bool:
    """Exact for fractions; six decimals (of a small number, six digits) if one was written as a decimal.

    `50%` is 0.5, and also 50 as every number from 1 on: there the sign is a unit.
    """
    values = [(gold.value, answer.value)]
    if gold.is_percent != answer.is_percent:
        bare = [number.value * (100 if number.is_percent else 1) for number in (gold, answer)]
        values += [(bare[0], bare[1])] if min(map(abs, bare)) >= 1 else []
    if not (gold.is_decimal or answer.is_decimal):
        return any(a == b for a, b in values)
    return any(abs(a - b) <= Fraction(1, 2_000_000) * min(Fraction(1), 10 * abs(a)) for a, b in values)


Comparison = Callable[[Any, Any], bool]
VALUE, RELATION = Number | Expression, Equation | Assignment
COMPARISONS: tuple[tuple[type | UnionType, type | UnionType, Comparison], ...] = (
    (Choice, Choice, _same_choice),
    (Choice, object, lambda gold, answer: bool(gold.content) and same(parse_answer(gold.content), answer)),
    (object, Choice, lambda gold, answer: bool(answer.content) and same(gold, parse_answer(answer.content))),
    (Words, object, _same_words),
    (Equation, Assignment, _same_equation),
    (RELATION, Equation, _same_equation),
    (Assignment, Assignment, _same_assignment),
    (Assignment, object, _gold_has_value),
    (object, Assignment, _has_value),
    (Letters, Letters, same_letters),
    (Statements, Statements, same_statements),
    (ClockTime, ClockTime, same_time),
    (Date, Date, same_date),
    (NumberInBase, NumberInBase, lambda gold, answer: (gold.digits, gold.base) == (answer.digits, answer.base)),
    (Range, Range, lambda gold, answer: _same_members((gold.low, gold.high), (answer.low, answer.high))),
    (Ordering, Ordering, lambda gold, answer: gold.signs == answer.signs and _same_members(gold.sides, answer.sides)),
    (Ratio, Ratio, lambda gold, answer: _same_ratio(gold.members, answer.members)),
    (Ratio, ClockTime, _clock_as_ratio),
    (Ratio, VALUE, _same_fraction),
    (VALUE, Ratio, lambda gold, answer: _same_fraction(answer, gold)),
    (Collection, Collection, _same_collection),
    (Collection, object, _same_single),
    (VALUE, VALUE, _same_quantity),
)
"""Kinds of the gold answer and of the answer, and the comparison of both. The first row that fits counts; without one they differ."""
