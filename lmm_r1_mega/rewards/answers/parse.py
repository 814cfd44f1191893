"""What an answer says: its kind, recognized by the whole text, before anything is calculated.

What no kind accounts for is words, and words compare as words. No algebra is worked out here (`equality` does).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from lmm_r1_mega.rewards.answers.algebra import in_latex, is_algebra, is_numeric
from lmm_r1_mega.rewards.answers.choices import DENIES, option, option_letters, statements
from lmm_r1_mega.rewards.answers.kinds import (
    Assignment,
    Choice,
    Collection,
    Equation,
    Expression,
    Number,
    NumberInBase,
    Ordering,
    ParsedAnswer,
    Range,
    Ratio,
    Words,
)
from lmm_r1_mega.rewards.answers.lists import LIST_MARK, OR, ascending, both_signs, inequality, split_brackets, split_top_level
from lmm_r1_mega.rewards.answers.normalize import normalize_latex, strip_spaces
from lmm_r1_mega.rewards.answers.quantity import ABOUT, EQUALS, IN_TOTAL, compound_quantity, parse_quantity
from lmm_r1_mega.rewards.answers.times import calendar_date, clock_time

Parser = Callable[[str], ParsedAnswer | None]

MAX_PARSED_LENGTH = 2000
ARTICLE = re.compile(r"^(?:an?|the|it)\s+(?=\w)")
YES_OR_NO = re.compile(r"(?:(yes)|no),? (?:it|they|he|she|there) (?:is|are|was|were|does|do|did|has|have)(n't| not)?")
ACRONYM = re.compile(r"(?<![\w.])[A-Z](?:\.[A-Z])+(?!\w)\.?")
ALIASES = {
    alias: meaning
    for meaning, aliases in {
        "\\mathbb{R}": ("all real numbers", "all reals", "the real numbers", "the set of all real numbers", "any real number",
                        "(-\\infty,\\infty)", "\u5168\u4f53\u5b9e\u6570", "\u4efb\u610f\u5b9e\u6570"),
        "no solution": ("no solutions", "no solution:\\emptyset", "there is no solution", "there are no solutions"),
        "\\infty": ("infinity", "positive infinity"), "-\\infty": ("negative infinity",),
        "\\emptyset": ("empty set", "the empty set"), "does not exist": ("dne",),
    }.items()
    for alias in aliases
}  # fmt: skip
"""Words, and what is compared in their place."""
POINT = re.compile(r"([ABD-OQ-Z])'?\s*(\([^()]*,[^()]*\))")
DASHED = re.compile(r"\+?\d+(?:-\d+){2,}|0\d*-\d+|\d+-0\d+")
"""Telephone numbers and the like: no arithmetic."""
DIGITS = "[0-9a-zA-Z]+"
BASE = re.compile(rf"[({{]?({DIGITS})[)}}]?(?:_\{{?\s*(\d{{1,2}})\s*\}}?|\s*\(?\s*(?:in\s+)?base\s+(\d{{1,2}})\)?)")
RANGE_MARK = re.compile(r"\s*(?:([-~])|\bto\b|\u81f3|\u5230)\s*")
BARE_BOUND = re.compile(r"-?[$\u20ac\u00a3\u00a5]?\d+(?:\.\d+)?(?:%|\s*[a-zA-Z\u4e00-\u9fff\\ ]*)")
REALS = r"\\in\s*(?:\\mathbb\s*\{\s*R\s*\}|R)\s*"
SET_BUILDER = re.compile(rf"\\?\{{\s*([a-zA-Z])\s*(?:{REALS})?(?:\\mid(?![a-zA-Z])|\||:)(.*)\\?\}}")
NOT_OF_A_NAME = re.compile(
    r"\\angle\s*\d(?!\d)|\\[a-zA-Z]+|(?<=[a-zA-Z}'])\([-+.,/ \d]*\)|_\{[^{}]*\}|_\w|'|\([a-zA-Z, ]*\)|[a-zA-Z{}\s\u4e00-\u9fff]"
)
SEMICOLON, COLON = re.compile(";"), re.compile(":")


@lru_cache(maxsize=16384)
def parse_answer(answer: str, *, is_named: bool = False) -> ParsedAnswer:
    r"""The kind of an answer. `is_named` if words before it have said what it is the value of.

    Example: `$x = 10{,}000\text{ cm}$` is an assignment of "x" with the number 10000 and the unit cm, `not $5$` is words
    """
    text = normalize_latex(answer)
    words = _words(text)
    alias = ALIASES.get(strip_spaces(words), ALIASES.get(words))
    if alias:
        text = words = alias
    parsed: ParsedAnswer = Words(words)
    if len(text) <= MAX_PARSED_LENGTH:
        bare = ABOUT.sub("", IN_TOTAL.sub("", text))
        parsed = _first(NOTATIONS, text) or _mathematics(bare, is_named=is_named) or parsed
    return replace(parsed, text=strip_spaces(text))


def _first(parsers: tuple[Parser, ...], text: str) -> ParsedAnswer | None:
    return next((parsed for parser in parsers if (parsed := parser(text))), None)


def _words(text: str) -> str:
    """In lower case, without article and marks: "The U.S. Navy." -> "us navy", "No, it isn't" -> "no"."""
    text = ACRONYM.sub(lambda match: match[0].replace(".", ""), text)
    words = " ".join(text.replace("\\ldots", "...").split()).lower().strip(" .!\"'")
    said = YES_OR_NO.fullmatch(words)
    return words.split()[0].rstrip(",") if said and bool(said[1]) != bool(said[2]) else ARTICLE.sub("", words)


def _number_in_base(text: str) -> NumberInBase | None:
    """Digits and their base: `1010_2`, `(1010)_2`, `FF_{16}`, `1010 base 2`."""
    match = BASE.fullmatch(text)
    if not match:
        return None
    digits, base = match[1].lower(), int(match[2] or match[3])
    is_number = (len(digits) > 1 or digits.isdigit()) and base > 1 and all(int(sign, 36) < base for sign in digits)
    return NumberInBase(digits.lstrip("0"), base) if is_number else None


def _mathematics(text: str, *, is_named: bool) -> ParsedAnswer | None:
    if DASHED.fullmatch(text):
        return None
    latex = in_latex(text)
    return _first(RELATIONS, text) or _assignment(latex, is_named=is_named) or _first(VALUES, latex)


def _point(text: str) -> Assignment | None:
    """`A(1,2)`."""
    match = POINT.fullmatch(text)
    return Assignment((match[1],), (parse_answer(match[2]),)) if match else None


def _range(text: str) -> Range | None:
    """`3-5 days`, `10 to 20`."""
    for mark in list(RANGE_MARK.finditer(text))[:4]:
        low, high = text[: mark.start()], text[mark.end() :]
        if high.startswith(("-", "+")) or (mark[1] and not (BARE_BOUND.fullmatch(low) and BARE_BOUND.fullmatch(high))):
            continue
        if all(isinstance(parse_quantity(bound), Number) for bound in (low, high)):
            return Range(low, high)
    return None


def _inequality(text: str) -> Assignment | None:
    """Inequalities of one variable as its interval, also those of a set `{x | 1<x<2}`."""
    builder = SET_BUILDER.fullmatch(text)
    parsed = inequality(builder[2].strip().removesuffix("\\") if builder else text)
    if not parsed or (builder and builder[1] != parsed[0]):
        return None
    values = parse_answer(parsed[1])
    return None if isinstance(values, Words) else Assignment((parsed[0],), (values,))


def _ordering(text: str) -> Ordering | None:
    """`a<b<c` and `c>b>a`, of any sides."""
    sides, signs = ascending(text)
    return Ordering(tuple(sides), tuple(signs)) if len(sides) > 2 and all(map(is_algebra, sides)) else None


def _approximation(text: str) -> Assignment | None:
    """`2\\sqrt{13} \\approx 7.21`: a value, and as a step the decimal that it is near."""
    exact, mark, near = text.partition("\\approx")
    name, equals, side = exact.rpartition("=")
    if not mark or not parse_quantity(near) or (equals and not _is_name(name)):
        return None
    value = parse_answer(side)
    is_value = isinstance(value, Number | Expression) and is_numeric(value.latex)
    return Assignment((name,), (value,), (f"\\approx {near.strip()}",)) if is_value else None


def _assignment(text: str, *, is_named: bool) -> Assignment | Equation | None:
    """What the equal signs say.

    Example: `x=1 or x=2` has the names ("x", "x"), `x=1, y=2` ("x", "y"); `x = 12/3 = 4` is 4 with the step `12/3`;
    `1=2=3` is words, `2x+1=0` an equation.
    """
    if not EQUALS.search(text):
        return None
    parts = [[side.strip() for side in split_top_level(part, EQUALS)] for part in split_top_level(both_signs(text), LIST_MARK)]
    first = parts[0] = ["", *parts[0]] if is_named and len(parts) == 1 else parts[0]
    if len(parts) == 1 and len(first) > 1 and (calculation := _calculation(first)):
        return calculation
    if len(parts) == 1 and len(first) > 2:
        return _chain(first, is_named=is_named)
    if len(first) == 2 and all(len(sides) == 1 for sides in parts[1:]):  # `x = 1, 2`
        parts = [first, *([first[0], *sides] for sides in parts[1:])]
    if len(parts) == 1 and not _is_name(first[0]):  # `3 = x`
        parts = [first[::-1]]
    if not all(len(sides) == 2 and _is_name(sides[0]) for sides in parts):
        return Equation() if len(parts) == 1 and all(first) and is_algebra(text) else None
    values = tuple(parse_answer(right) for _, right in parts)
    return None if any(isinstance(value, Words) for value in values) else Assignment(tuple(left for left, _ in parts), values)


def _calculation(sides: list[str]) -> Assignment | None:
    """`1+2 = 3`: no name, but more than a number on every side before the last."""
    *steps, last = sides
    if not all(is_numeric(step) and is_algebra(step) and not re.fullmatch(r"-?[\d.]*", step) for step in steps):
        return None
    value = parse_answer(last)
    return (
        Assignment(("",), (value,), tuple(step.replace("\\degree", "") for step in steps))
        if isinstance(value, Number | Expression)
        else None
    )


def _chain(sides: list[str], *, is_named: bool) -> Assignment | None:
    """`x = 12/3 = 4`: a name, steps, the value."""
    name, *steps, last = sides
    value = parse_answer(last)
    if isinstance(value, Words) or not (is_named or _is_name(name) or (is_algebra(name) and not is_numeric(name))):
        return None
    if not all(parse_quantity(step) or _is_name(step) for step in steps):
        return None
    if not isinstance(value, Number | Expression) or is_numeric(value.latex):
        steps = [step for step in steps if is_numeric(step)]
    return Assignment((name,), (value,), tuple(steps))


def _is_name(left: str) -> bool:
    return bool(left) and not NOT_OF_A_NAME.sub("", left) and not DENIES.search(re.sub(r"\\[a-zA-Z]+", "", left))


def _collection(text: str) -> Collection | None:
    """A list, or what stands between brackets."""
    text = both_signs(text)
    is_sequence = len(split_top_level(text, SEMICOLON)) > 1
    parts, brackets = split_top_level(text, SEMICOLON if is_sequence else LIST_MARK), ""
    if len(parts) == 1:
        brackets, inside = split_brackets(text)
        parts = split_top_level(inside, LIST_MARK) if brackets else []
        if len(parts) == 1 and brackets != "{}":
            return None
    items = tuple(parse_answer(part) for part in parts)
    is_choice = re.search(OR, text) and any(isinstance(item, Choice) for item in items)
    if not items or is_choice or any(isinstance(item, Words) for item in items):
        return None
    return Collection(items, brackets, is_ordered=is_sequence or brackets not in ("", "{}"))


def _ratio(text: str) -> Ratio | None:
    parts = [part.strip() for part in split_top_level(text, COLON)]
    return Ratio(tuple(parts)) if len(parts) > 1 and all(map(is_algebra, parts)) else None


NOTATIONS: tuple[Parser, ...] = (option, option_letters, statements, clock_time, calendar_date, _number_in_base)
RELATIONS: tuple[Parser, ...] = (_point, compound_quantity, _range, _inequality, _ordering, _approximation)
VALUES: tuple[Parser, ...] = (_collection, _ratio, parse_quantity)
"""The first that accounts for the whole text says what it is."""
