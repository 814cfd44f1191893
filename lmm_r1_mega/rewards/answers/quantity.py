"""A value with its unit: `3 square centimeters`, `$5 million`, `2\\pi m`, `3rd`; or an expression alone."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from lmm_r1_mega.rewards.answers.algebra import is_algebra, is_numeric
from lmm_r1_mega.rewards.answers.kinds import Expression, Number
from lmm_r1_mega.rewards.answers.lists import split_top_level
from lmm_r1_mega.rewards.answers.numbers import arc_degrees, plain_number
from lmm_r1_mega.rewards.answers.units import LETTERS_BEHIND_SYMBOLS, NO_UNIT, UNIT_FRACTION, parse_unit, split_scale

EQUALS = re.compile(r"(?<![\\<>!:=])=(?!=)|\\in(?![a-zA-Z])")
CURRENCY = re.compile(r"([-+]?)\s*(US\$|[$\u20ac\u00a3\u00a5\u20b9]|(?:USD|EUR|GBP|RMB|CNY)(?![a-zA-Z]))\s*(?=[\d.])")
ABOUT = re.compile(
    r"^(?:(?:is\s+)?(?:about|approximately|approx\.?|around|roughly|exactly|either|both|only|just)\s+|\u7ea6|\u5927\u7ea6|\u5171|~\s*|\\approx\s*)+(?=\S)",
    re.IGNORECASE,
)
IN_TOTAL = re.compile(r"\s+(?:in total|in all|altogether|approximately|approx|or so)$", re.IGNORECASE)
ORDINAL = re.compile(r"(\d*(?:(?<!1)1(?=st)|(?<!1)2(?=nd)|(?<!1)3(?=rd)|[04-9](?=th)|1[1-3](?=th)))(?:st|nd|rd|th)")
DECADE = re.compile(r"(?:1[5-9]|20)\d\ds")
"""No seconds."""
POWER_WORD = re.compile(r"\s+(squared|cubed)")
VALUE_END = re.compile(r"\d%?|\\pi(?![a-zA-Z])|[)\]!}]%?")
UNIT_POWERS = re.compile(r"(?<=[a-zA-Z\u4e00-\u9fff])(?:\^\{\s*-?\d\s*\}|[23](?![\d.]))|(?<=[a-zA-Z])\s*/\s*\([a-zA-Z\\\s.*^{}\d]*\)")
PART = r"\d+(?:\.\d+)?\s*(?:[a-zA-Z]+|[\u4e00-\u9fff]+)\.?"
COMPOUND = re.compile(rf"{PART}(?:(?:(?:\s*,\s*|\s+)(?:and\s+)?)?{PART}){{1,3}}")
COMPOUND_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]+|[\u4e00-\u9fff]+)")
SECONDS = (("s", 1),)


def parse_quantity(text: str) -> Number | Expression | None:
    r"""A value and its unit: `3 square centimeters`, `$5 million`, `2\pi \text{ m}`, `3rd`, `30\degree 15'`; or an expression alone."""
    text = ABOUT.sub("", text.strip())
    if money := CURRENCY.match(text):
        return _money(money[1] + text[money.end() :], money[2].lower())
    if number := plain_number(text) or arc_degrees(text):
        return number
    if ordinal := ORDINAL.fullmatch(text):
        return plain_number(ordinal[1])
    text = UNIT_FRACTION.sub(r" \1/\2", text)
    if len(split_top_level(text, EQUALS)) > 1 or DECADE.fullmatch(text):
        return None
    ends = [end.end() for end in VALUE_END.finditer(UNIT_POWERS.sub(lambda match: "~" * len(match[0]), text))]
    measured = _measured(text[: ends[-1]], text[ends[-1] :]) if ends else None
    return measured or (Expression(text) if is_algebra(text) else None)


def _money(text: str, currency: str) -> Number | None:
    """`$5 million`; nothing with another unit behind it."""
    number, unit = parse_quantity(text), parse_unit(currency)
    if not isinstance(number, Number) or number.unit not in (None, NO_UNIT, unit):
        return None
    return replace(number, unit=unit)


def _measured(value: str, tail: str) -> Number | Expression | None:
    """A value that is a number and the scale and unit that the tail spells."""
    if not tail.strip():
        return None
    number = plain_number(value)
    if not number and not (is_numeric(value) and is_algebra(value)):
        return None
    if number and (power := POWER_WORD.fullmatch(tail)):
        exponent = 2 if power[1] == "squared" else 3
        return replace(number, latex=f"({value})^{exponent}", value=number.value**exponent)
    unit, scale = parse_unit(tail) if number else parse_unit(tail.lstrip(), letters=LETTERS_BEHIND_SYMBOLS), Fraction(1)
    if unit is None:
        scale, rest = split_scale(tail)
        unit = parse_unit(rest) if scale != 1 else None
    if unit is None:
        return None
    latex = value if scale == 1 else f"({value})\\times {scale}"
    return replace(number, latex=latex, value=number.value * scale, unit=unit) if number else Expression(latex, unit)


def compound_quantity(text: str) -> Number | None:
    """One value in units that get smaller: `2 h 15 min`, `6 ft 2 in`; with a comma or "and" between, times alone."""
    if not COMPOUND.fullmatch(text):
        return None
    if re.search(r"\dhr?\s*\d", text):  # 2h15m
        text = re.sub(r"(?<=\d)m$", "min", text)
    parts = [(Fraction(value), parse_unit(f" {word}")) for value, word in COMPOUND_PART.findall(text)]
    measured = [(value, unit) for value, unit in parts if unit and unit.dimension and not unit.is_thing]
    dimensions = {unit.dimension for _, unit in measured}
    is_joined = re.search(r",|\band\b", text)
    if len(measured) < len(parts) or len(dimensions) > 1 or (is_joined and dimensions != {SECONDS}):
        return None
    last = measured[-1][1]
    is_carried = all(big.factor > small.factor * value for (_, big), (value, small) in pairwise(measured))
    total = sum(value * unit.factor for value, unit in measured) / last.factor
    return Number(text, total, is_decimal="." in text, unit=last) if is_carried else None
