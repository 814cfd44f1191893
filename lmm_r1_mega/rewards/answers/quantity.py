"""A value with its unit: `3 square centimeters`, `$5 million`, `2\\pi m`, `3rd`; or an expression alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from lmm_r1_mega.rewards.answers.algebra import is_algebra, is_numeric
from lmm_r1_mega.rewards.answers.units import LETTERS_BEHIND_SYMBOLS, NO_UNIT, UNIT_FRACTION, Unit, parse_unit, split_scale
from lmm_r1_mega.rewards.answers.values import Number, arc_degrees, plain_number, split_top_level

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
PART = r"(?:\d+(?:\.\d+)?\s*(?:[a-zA-Z]+|[\u4e00-\u9fff]+)\.?)"
COMPOUND = re.compile(rf"{PART}(?:(?:\s*,\s*|\s+)(?:and\s+)?{PART}|{PART}){{1,3}}")
COMPOUND_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]+|[\u4e00-\u9fff]+)")
UNIT_POWERS = re.compile(
    r"(?<=[a-zA-Z\u4e00-\u9fff])(?:\^\{\s*-?\d\s*\}|\^-?\d|[23](?![\d.]))|(?<=[a-zA-Z])\s*/\s*\([a-zA-Z\\\s.*^{}\d]*\)"
)


@dataclass(frozen=True)
class Quantity:
    """A number or an expression, with its unit where one is written."""

    value: str
    number: Number | None = None
    unit: Unit | None = None


def parse_quantity(text: str) -> Quantity | None:
    r"""A value and its unit: `3 square centimeters`, `$5 million`, `2\pi \text{ m}`, `3rd`, `30\degree 15'`; or an expression alone."""
    text = ABOUT.sub("", text.strip())
    money = CURRENCY.match(text)
    if money:
        found = parse_quantity(money[1] + text[money.end() :])
        is_money = found and found.number and (found.unit in (None, NO_UNIT) or found.unit == parse_unit(money[2].lower()))
        return replace(found, unit=parse_unit(money[2].lower())) if found and is_money else None
    if number := plain_number(text):
        return Quantity(text, number)
    if ordinal := ORDINAL.fullmatch(text):
        return Quantity(ordinal[1], plain_number(ordinal[1]))
    if arc := arc_degrees(text):
        return Quantity(text, arc, parse_unit("\\degree"))
    text = UNIT_FRACTION.sub(r" \1/\2", text)
    ends = [end.end() for end in VALUE_END.finditer(UNIT_POWERS.sub(lambda found: "~" * len(found[0]), text))]
    if len(split_top_level(text, EQUALS)) > 1 or DECADE.fullmatch(text):
        return None
    measured = _measured(text[: ends[-1]], text[ends[-1] :]) if ends else None
    return measured or (Quantity(text) if is_algebra(text) else None)


def compound_quantity(text: str) -> Quantity | None:
    """One value in units that get smaller: `2 h 15 min`, `6 ft 2 in`; with a comma or "and" between, times alone."""
    if not COMPOUND.fullmatch(text):
        return None
    parts = [
        (found[1], found[2])
        for found in COMPOUND_PART.finditer(re.sub(r"(?<=\d)m$", "min", text) if re.search(r"\dhr?\s*\d", text) else text)
    ]
    units = [unit for _, word in parts if (unit := parse_unit(f" {word}")) and unit.dimension and not unit.is_thing]
    is_one = len(units) == len(parts) and len({unit.dimension for unit in units}) == 1
    if not is_one or (re.search(r",|\band\b", text) and units[0].dimension != (("s", 1),)):
        return None
    values = [Fraction(value) for value, _ in parts]
    is_carried = all(big.factor > small.factor * value for big, small, value in zip(units, units[1:], values[1:], strict=False))
    total = sum(value * unit.factor for value, unit in zip(values, units, strict=True)) / units[-1].factor
    return Quantity(text, Number(total, "." in text), units[-1]) if is_carried else None


def _measured(value: str, tail: str) -> Quantity | None:
    """A value that is a number and the scale and unit that the tail spells."""
    if not tail.strip():
        return None
    number = plain_number(value)
    if not number and not (is_numeric(value) and is_algebra(value)):
        return None
    if number and (power := POWER_WORD.fullmatch(tail)):
        return Quantity(value, Number(number.value ** (2 if power[1] == "squared" else 3), number.is_decimal))
    unit, scale = parse_unit(tail) if number else parse_unit(tail.lstrip(), letters=LETTERS_BEHIND_SYMBOLS), Fraction(1)
    if unit is None:
        scale, rest = split_scale(tail)
        unit = parse_unit(rest) if scale != 1 else None
    if unit is None:
        return None
    if number:
        return Quantity(value, replace(number, value=number.value * scale), unit)
    return Quantity(value if scale == 1 else f"({value})\\times {Fraction(scale)}", None, unit)
