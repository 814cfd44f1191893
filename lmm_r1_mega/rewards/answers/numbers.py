"""Plain numbers as exact fractions."""

from __future__ import annotations

import re
from fractions import Fraction

from lmm_r1_mega.rewards.answers.kinds import Number
from lmm_r1_mega.rewards.answers.units import parse_unit

POWER_OF_TEN = r"\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*\{?\s*([-+]?\d{1,4})\s*\}?|[eE]([-+]?\d{1,4})"
NUMBER = re.compile(rf"([-+]?)\s*(\d+(?:\.\d*)?|\.\d+)(?:\s*/\s*(\d+)|{POWER_OF_TEN})?\s*(%?)")
FRACTION = re.compile(r"([-+]?)\s*(\d*)\s*\\frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(-?\d+)\s*\}\s*(%?)")
MIXED = re.compile(r"([-+]?)\s*(\d+)\s+(\d+)\s*/\s*(\d+)\s*(%?)")
REPEATING = re.compile(r"([-+]?)\s*(\d*)\.(\d*)\\(?:overline|bar|dot)\s*\{?\s*(\d+)\s*\}?\s*(%?)")
BARE_POWER = re.compile(r"(?<=[-+])(?=10\s*\^)|^(?=10\s*\^)")
"""Of ten, without a factor."""
ARC = re.compile(r"([-+]?)(\d+)\s*\\degree\s*(\d{1,2}(?:\.\d+)?)\s*'(?:\s*(\d{1,2}(?:\.\d+)?)\s*(?:''|\"))?")
"""Degrees, minutes and seconds."""


def plain_number(text: str) -> Number | None:
    r"""An integer, decimal, `a/b`, `\frac{a}{b}`, mixed number, repeating decimal or percentage; None if it needs algebra.

    Example: `-2\frac{1}{3}` -> -7/3, `0.1\overline{6}` -> 1/6, `1.5e3` -> 1500, `50%` -> 1/2
    """
    text = text.strip()
    if match := NUMBER.fullmatch(BARE_POWER.sub("1*", text)):
        sign, top, bottom, power, exponent, percent = match.groups()
        value = Fraction(top) * Fraction(10) ** int(power or exponent or 0)
    elif match := FRACTION.fullmatch(text) or MIXED.fullmatch(text):
        sign, whole, top, bottom, percent = match.groups()
        value = int(whole or 0) * abs(int(bottom)) + Fraction(top)
    elif match := REPEATING.fullmatch(text):
        sign, whole, first, again, percent = match.groups()
        bottom, top = str(10 ** len(first) * (10 ** len(again) - 1)), whole
        value = Fraction(int(whole + first + again) - int(whole + first or 0))
    else:
        return None
    if bottom and not int(bottom):
        return None
    value = value / int(bottom or 1) * (-1 if sign == "-" else 1)
    return Number(text, value / 100 if percent else value, is_decimal="." in top, is_percent=bool(percent))


def arc_degrees(text: str) -> Number | None:
    r"""Degrees, minutes and seconds in degrees: `30\degree 15'` -> 30.25."""
    match = ARC.fullmatch(text.strip())
    if not match:
        return None
    sign, degrees, minutes, seconds = match.groups()
    value = int(degrees) + Fraction(minutes) / 60 + Fraction(seconds or 0) / 3600
    return Number(text, -value if sign == "-" else value, unit=parse_unit("\\degree"))
