"""The values of an answer: plain numbers as exact fractions, inequalities as intervals, lists cut at their marks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

POWER_OF_TEN = r"\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*\{?\s*([-+]?\d{1,4})\s*\}?|[eE]([-+]?\d{1,4})"
NUMBER = re.compile(rf"([-+]?)\s*(\d+(?:\.\d*)?|\.\d+)(?:\s*/\s*(\d+)|{POWER_OF_TEN})?\s*(%?)")
FRACTION = re.compile(r"([-+]?)\s*(\d*)\s*\\frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(-?\d+)\s*\}\s*(%?)")
MIXED = re.compile(r"([-+]?)\s*(\d+)\s+(\d+)\s*/\s*(\d+)\s*(%?)")
REPEATING = re.compile(r"([-+]?)\s*(\d*)\.(\d*)\\(?:overline|bar|dot)\s*\{?\s*(\d+)\s*\}?\s*(%?)")
ONLY_A_POWER = re.compile(r"([-+]?)\s*10\s*\^\s*\{\s*([-+]?\d{1,4})\s*\}")
ARC = re.compile(r"([-+]?)(\d+)\s*\\degree\s*(\d{1,2}(?:\.\d+)?)\s*'(?:\s*(\d{1,2}(?:\.\d+)?)\s*(?:''|\"))?")
"""Degrees, minutes and seconds."""

OR = r"\bor\b|\u6216"
LIST_MARK = re.compile(rf",?\s*(?:\\?\band\b|\u548c|{OR})|[,;]")
BELOW, ABOVE = r"<=?|\\l(?:t|e)(?![a-zA-Z])", r">=?|\\g(?:t|e)(?![a-zA-Z])"
BETWEEN = re.compile(rf"([^<>]+?)\s*(?:({BELOW})\s*([a-zA-Z])\s*({BELOW})|({ABOVE})\s*([a-zA-Z])\s*({ABOVE}))\s*([^<>]+)")
HALF_LINE = re.compile(rf"([a-zA-Z])\s*(?:({BELOW})|({ABOVE}))\s*([^<>]+)")
HALF_LINE_FROM = re.compile(rf"([^<>a-zA-Z]+?(?:\\infty)?)\s*(?:({BELOW})|({ABOVE}))\s*([a-zA-Z])")
NAMES_IN = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]|(?<=\\text)[a-z]")
OPEN = ("<", ">", "\\lt", "\\gt")
OPENING, CLOSING = "([{", ")]}"


@dataclass(frozen=True)
class Number:
    """A plain number: integer, decimal, fraction, mixed number or percentage."""

    value: Fraction
    is_decimal: bool = False
    is_percent: bool = False


def plain_number(text: str) -> Number | None:
    r"""An integer, decimal, `a/b`, `\frac{a}{b}`, mixed number, repeating decimal or percentage; None for what needs algebra."""
    text = text.strip()
    if found := NUMBER.fullmatch(text):
        sign, top, bottom, power, exponent, percent = found.groups()
        value = Fraction(top) * Fraction(10) ** int(power or exponent or 0)
    elif found := FRACTION.fullmatch(text) or MIXED.fullmatch(text):
        sign, whole, top, bottom, percent = found.groups()
        value = int(whole or 0) * abs(int(bottom)) + Fraction(top)
    elif found := REPEATING.fullmatch(text):
        sign, whole, first, again, percent = found.groups()
        bottom, top = str(10 ** len(first) * (10 ** len(again) - 1)), whole
        value = Fraction(int(whole + first + again) - int(whole + first or 0))
    elif found := ONLY_A_POWER.fullmatch(text):
        (sign, power), top, bottom, percent = found.groups(), "1", "", ""
        value = Fraction(10) ** int(power)
    else:
        return None
    if bottom and not int(bottom):
        return None
    value = value / int(bottom or 1) * (-1 if sign == "-" else 1)
    return Number(value / 100 if percent else value, is_decimal="." in top, is_percent=bool(percent))


def arc_degrees(text: str) -> Number | None:
    r"""Degrees, minutes and seconds in degrees: `30\degree 15'` -> 30.25."""
    found = ARC.fullmatch(text.strip())
    if not found:
        return None
    sign, degrees, minutes, seconds = found.groups()
    value = int(degrees) + Fraction(minutes) / 60 + Fraction(seconds or 0) / 3600
    return Number(-value if sign == "-" else value)


def both_signs(text: str) -> str:
    r"""Members with one `\pm` written out: `x\pm 1` -> `x+1,x-1`; any other text as it is."""
    if "\\pm" not in text:
        return text
    members = split_top_level(text, LIST_MARK)
    if any(member.count("\\pm") > 1 for member in members):
        return text
    written = [(_signed(member, "+", "-"), _signed(member, "-", "+")) for member in members]
    return ",".join(sign for pair in written for sign in dict.fromkeys(pair))


def _signed(member: str, upper: str, lower: str) -> str:
    return member.replace("\\pm", upper).replace("\\mp", lower).strip().removeprefix("+").strip()


def inequality(text: str) -> tuple[str, str] | None:
    r"""The variable of inequalities and its values: `1<x\le 2` -> "x", "(1,2]"; `x<1 or x\ge 2` -> "x", `(-\infty,1)\cup[2,\infty)`.

    None for every other text, also where a bound is no number.
    """
    parts = [_interval(part.strip(" ,")) for part in re.split(OR, text)]
    known = [part for part in parts if part]
    if len(known) < len(parts) or len({name for name, _ in known}) > 1:
        return None
    return known[0][0], "\\cup".join(interval for _, interval in known)


def _interval(text: str) -> tuple[str, str] | None:
    if found := BETWEEN.fullmatch(text):
        first, below, name, below_too, above, other_name, above_too, last = found.groups()
        low, left, right, high = (first, below, below_too, last) if below else (last, above_too, above, first)
        variable, bounds = name or other_name, (low, high)
    elif found := HALF_LINE.fullmatch(text):
        variable, below, above, bound = found.groups()
        left, right, bounds = ("<", below, ("-\\infty", bound)) if below else (above, "<", (bound, "\\infty"))
    elif found := HALF_LINE_FROM.fullmatch(text):
        bound, below, above, variable = found.groups()
        left, right, bounds = (below, "<", (bound, "\\infty")) if below else ("<", above, ("-\\infty", bound))
    else:
        return None
    if any(NAMES_IN.search(bound) for bound in bounds):
        return None
    return variable, f"{'(' if left in OPEN else '['}{bounds[0].strip()},{bounds[1].strip()}{')' if right in OPEN else ']'}"


def split_top_level(text: str, mark: re.Pattern[str]) -> list[str]:
    """Cuts at the marks that stand outside all brackets."""
    depth, scanned, start, parts = 0, 0, 0, []
    for found in mark.finditer(text):
        between = text[scanned : found.start()]
        depth += sum(between.count(c) for c in OPENING) - sum(between.count(c) for c in CLOSING)
        scanned = found.start()
        if depth == 0:
            parts.append(text[start : found.start()])
            start = found.end()
    return [*parts, text[start:]]


def split_brackets(text: str) -> tuple[str, str]:
    r"""The brackets that enclose a whole text, and what is inside: `\{1,2\}` -> "{}", "1,2"; "" and the text without them.

    Example: "(1,2]" -> "(]", "1,2"; "(1,2),(3,4)" -> "", "(1,2),(3,4)"
    """
    bare = text.replace("\\{", "{").replace("\\}", "}")
    if len(bare) < 3 or bare[0] not in OPENING or bare[-1] not in CLOSING:
        return "", text
    depth = 0
    for position, sign in enumerate(bare):
        depth += (sign in OPENING) - (sign in CLOSING)
        if depth == 0 and position < len(bare) - 1:
            return "", text
    inside = text[2 if text[0] == "\\" else 1 : -2 if text.endswith("\\}") else -1]
    return (bare[0] + bare[-1], inside) if depth == 0 else ("", text)
