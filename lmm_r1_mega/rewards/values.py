"""The values of an answer: plain numbers as exact fractions, lists of them, intervals."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

POWER_OF_TEN = r"\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*\{?\s*([-+]?\d{1,3})\s*\}?|[eE]([-+]?\d{1,3})"
NUMBER = re.compile(rf"([-+]?)\s*(\d+(?:\.\d*)?|\.\d+)(?:\s*/\s*(\d+)|{POWER_OF_TEN})?\s*(%?)")
FRACTION = re.compile(r"([-+]?)\s*(\d*)\s*\\frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(-?\d+)\s*\}\s*(%?)")
MIXED = re.compile(r"([-+]?)\s*(\d+)\s+(\d+)\s*/\s*(\d+)\s*(%?)")
REPEATING = re.compile(r"([-+]?)\s*(\d*)\.(\d*)\\(?:overline|bar|dot)\s*\{?\s*(\d+)\s*\}?\s*(%?)")

OR = r"\bor\b|\u6216"
LIST_MARK = re.compile(rf",?\s*(?:\\?\band\b|\u548c|{OR})|[,;]")
BRACKETED = re.compile(r"([(\[]|\\\{)(.*?)([)\]]|\\\})", re.DOTALL)
BELOW, ABOVE = r"<=?|\\l(?:t|eq?|eqslant)(?![a-zA-Z])", r">=?|\\g(?:t|eq?|eqslant)(?![a-zA-Z])"
BETWEEN = re.compile(rf"([^<>]+?)\s*(?:({BELOW})\s*[a-zA-Z]\s*({BELOW})|({ABOVE})\s*[a-zA-Z]\s*({ABOVE}))\s*([^<>]+)")
HALF_LINE = re.compile(rf"[a-zA-Z]\s*(?:({BELOW})|({ABOVE}))\s*([^<>]+)")
OPEN = ("<", ">", "\\lt", "\\gt")


@dataclass(frozen=True)
class Number:
    """A plain number: integer, decimal, fraction, mixed number or percentage."""

    value: Fraction
    is_decimal: bool
    is_percent: bool


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
    else:
        return None
    if bottom and not int(bottom):
        return None
    value = value / int(bottom or 1) * (-1 if sign == "-" else 1)
    return Number(value / 100 if percent else value, is_decimal="." in top, is_percent=bool(percent))


def plain_numbers(text: str) -> tuple[str, tuple[Number, ...]]:
    r"""Brackets and members of two or more plain numbers: `(1,2]` -> "(]", `\{1,3\}` -> "{}", `3, 1` -> "".

    `1<x\le 2` is read as `(1,2]`. Without members where anything is no plain number.
    """
    inside, brackets = _interval(text.strip()), ""
    if found := BRACKETED.fullmatch(inside):
        inside, brackets = found[2], (found[1] + found[3]).replace("\\", "")
    members = [plain_number(part) for part in LIST_MARK.split(inside)]
    numbers = tuple(number for number in members if number)
    return ("", ()) if len(members) < 2 or len(numbers) < len(members) else (brackets, numbers)


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


def union_of_intervals(text: str) -> str:
    r"""Inequalities joined by `or` as a union: `x<1 or x\ge 2` -> `(-\infty,1)\cup[2,\infty)`; any other text as it is."""
    parts = [part.strip(" ,") for part in re.split(OR, text)]
    intervals = [_interval(part) for part in parts]
    is_union = len(parts) > 1 and all(part != interval for part, interval in zip(parts, intervals, strict=True))
    return "\\cup".join(intervals) if is_union else text


def _interval(text: str) -> str:
    """An inequality of one variable as an interval; any other text as it is."""
    if found := BETWEEN.fullmatch(text):
        first, below, below_too, above, above_too, last = found.groups()
        low, left, right, high = (first, below, below_too, last) if below else (last, above_too, above, first)
        return f"{'(' if left in OPEN else '['}{low},{high}{')' if right in OPEN else ']'}"
    if found := HALF_LINE.fullmatch(text):
        below, above, bound = found.groups()
        return rf"(-\infty,{bound}{')' if below in OPEN else ']'}" if below else rf"{'(' if above in OPEN else '['}{bound},\infty)"
    return text


def split_top_level(text: str, mark: re.Pattern[str]) -> list[str]:
    """Cuts at the marks that stand outside all brackets."""
    depth, scanned, start, parts = 0, 0, 0, []
    for found in mark.finditer(text):
        between = text[scanned : found.start()]
        depth += sum(between.count(c) for c in "([{") - sum(between.count(c) for c in ")]}")
        scanned = found.start()
        if depth == 0:
            parts.append(text[start : found.start()])
            start = found.end()
    return [*parts, text[start:]]
