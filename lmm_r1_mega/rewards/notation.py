"""The many dresses of one answer, taken off: delimiters, spacing, unicode, thousands, units, option letters, `x =`.

Text in; text, letters and exact fractions out. What is left over is algebra and goes to math-verify (`equality`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from lmm_r1_mega.rewards.units import FUNCTIONS, WRAPPER, split_unit

Relation = Literal["value", "assignment", "equation", "chain"]

REPLACED = {
    "\u2212": "-", "\u2013": "-", "\u00d7": "\\times ", "\u00b7": "\\cdot ", "\u03c0": "\\pi ", "\u221e": "\\infty ",
    "\u222a": "\\cup ", "\u2264": "\\le ", "\u2265": "\\ge ", "\u00b2": "^2", "\u00b3": "^3", "\u00b0": "\\degree ",
    "\u00a0": " ", "\u2009": " ", "\u202f": " ", "^{\\circ}": "\\degree ", "^\\circ": "\\degree ", "\\dfrac": "\\frac",
    "\\tfrac": "\\frac", "{,}": ",", "\\%": "%", "\\$": "", "$": "", "\\(": "", "\\)": "", "\\[": "", "\\]": "",
    "\\!": "", "\\,": " ", "\\;": " ", "\\:": " ", "\\ ": " ", "~": " ", "**": "",
}  # fmt: skip
LAYOUT_COMMAND = re.compile(r"\\(?:left|right|displaystyle|quad|qquad)(?![a-zA-Z])")
ROOT_SIGN = re.compile("\u221a\\s*(\\d+|[a-zA-Z])")
PERCENT_WORD = re.compile(r"(?<=\d)\s*(?:\\text\{\s*)?percent\b\s*\}?")

OPTION = re.compile(r"(?:(?:option|choice)\s+)?(?:[(\[]([A-Za-z])[)\]](?:\s.*)?|([A-Za-z])(?:[.):](?:\s.*)?)?)", re.IGNORECASE | re.DOTALL)

WORD = re.compile(r"(?<![\\a-zA-Z])[A-Z]?[a-z]+(?![a-zA-Z])")
ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[a-z]*\}")

NUMBER = re.compile(r"([-+]?)\s*(\d+\.?\d*|\.\d+)(?:\s*/\s*(\d+))?\s*(%?)")
FRACTION = re.compile(r"([-+]?)\s*\\frac\s*(?:\{\s*(-?\d+)\s*\}|(\d))\s*(?:\{\s*(-?\d+)\s*\}|(\d))\s*(%?)")
THOUSANDS = re.compile(r"(?<![\d.,(\[])(?<!\\\{)\d{1,3}(?:,\d{3})+(?![\d,])|(?<![\d.,])\d{1,3}(?: \d{3})+(?![\d,])")

EQUALS = re.compile(r"(?<![\\<>!:=])=(?!=)|\\in(?![a-zA-Z])")
LIST_MARK = re.compile(r"[,;]|\\?\b(?:and|or)\b")
BRACKETED = re.compile(r"([(\[])(.*)([)\]])", re.DOTALL)
BRACED = re.compile(r"\\\{(.*)\\\}", re.DOTALL)
BELOW, ABOVE = r"<=?|\\l(?:t|eq?|eqslant)(?![a-zA-Z])", r">=?|\\g(?:t|eq?|eqslant)(?![a-zA-Z])"
BETWEEN = re.compile(rf"([^<>]+?)\s*(?:({BELOW})\s*[a-zA-Z]\s*({BELOW})|({ABOVE})\s*[a-zA-Z]\s*({ABOVE}))\s*([^<>]+)")
OPEN = ("<", ">", "\\lt", "\\gt")
NOT_OF_A_NAME = re.compile(r"\\[a-zA-Z]+|_\{[^{}]*\}|_\w|'|\([a-zA-Z, ]*\)|[a-zA-Z{}\s]")


@dataclass(frozen=True)
class Number:
    """A plain number: integer, decimal, fraction or percentage."""

    value: Fraction
    is_decimal: bool
    is_percent: bool


@dataclass(frozen=True)
class Reading:
    """An answer without its dress."""

    text: str
    """Undressed, otherwise as written."""
    option: str | None
    """Capital letter where the answer is a single option letter in any dress."""
    phrase: str | None
    r"""Lower-case words where the answer is one word, or wholly inside `\text{}`."""
    is_prose: bool
    """Words that are neither a phrase nor algebra nor a unit."""
    relation: Relation
    names: tuple[str, ...]
    """Left sides of an assignment."""
    value: str
    """Right sides of an assignment, without the unit."""
    unit: str
    number: Number | None
    numbers: tuple[Number, ...]
    """The members of a list, tuple or interval of plain numbers; of a set (no brackets, or braces) in rising order."""
    brackets: str
    """`(]` and the like around `numbers`; empty for a set."""


@lru_cache(maxsize=8192)
def read(answer: str) -> Reading:
    r"""Takes the dress off an answer. Example: `$x = 10{,}000\text{ cm}$` has names ("x",), unit "cm" and number 10000."""
    text = undress(answer)
    relation, names, value = split_assignment(text)
    value, unit = split_unit(value)
    bare = WRAPPER.sub(r"\1", text)
    brackets, numbers = plain_numbers(value)
    return Reading(
        text=text,
        option=option_letter(bare),
        phrase=_phrase(text),
        is_prose=not unit and _is_prose(bare),
        relation=relation,
        names=names,
        value=value,
        unit=unit,
        number=plain_number(value),
        numbers=numbers,
        brackets=brackets,
    )


def undress(answer: str) -> str:
    """Delimiters, spacing commands, unicode signs and thousands marks away; the mathematics untouched."""
    text = answer
    for dress, plain in REPLACED.items():
        text = text.replace(dress, plain)
    text = LAYOUT_COMMAND.sub(" ", text)
    text = ROOT_SIGN.sub(r"\\sqrt{\1}", text)
    text = PERCENT_WORD.sub("%", text)
    text = THOUSANDS.sub(lambda found: re.sub("[, ]", "", found.group()), text)
    return text.strip().rstrip(".,;").strip()


def option_letter(bare: str) -> str | None:
    """`A` for "A", "(a)", "A)", "[A]", "A. 5", "(A) 5" or "option A"; None for everything else."""
    found = OPTION.fullmatch(bare.strip())
    return (found.group(1) or found.group(2)).upper() if found else None


def plain_number(text: str) -> Number | None:
    r"""An integer, decimal, `a/b`, `\frac{a}{b}` or percentage; None for anything that needs algebra."""
    text = text.strip()
    if found := NUMBER.fullmatch(text):
        sign, top, bottom, percent = found.groups()
    elif found := FRACTION.fullmatch(text):
        sign, top, percent = found[1], found[2] or found[3], found[6]
        bottom = found[4] or found[5]
    else:
        return None
    denominator = int(bottom or 1)
    if denominator == 0:
        return None
    value = Fraction(top) / denominator * (-1 if sign == "-" else 1)
    return Number(value / 100 if percent else value, is_decimal="." in top, is_percent=bool(percent))


def plain_numbers(text: str) -> tuple[str, tuple[Number, ...]]:
    r"""Brackets and members of two or more plain numbers: `(1,2]` -> "(]"; `3, 1` and `\{1,3\}` -> "" and rising.

    `1<x\le 2` is read as `(1,2]`. Without members where anything is no plain number.
    """
    inside, brackets = _interval(text.strip()), ""
    if found := BRACKETED.fullmatch(inside):
        inside, brackets = found[2], found[1] + found[3]
    elif found := BRACED.fullmatch(inside):
        inside = found[1]
    members = [plain_number(part) for part in LIST_MARK.split(inside)]
    numbers = tuple(number for number in members if number)
    if len(members) < 2 or len(numbers) < len(members):
        return "", ()
    return brackets, numbers if brackets else tuple(sorted(numbers, key=lambda number: number.value))


def _interval(text: str) -> str:
    """An inequality with a variable in the middle as an interval; any other text as it is."""
    found = BETWEEN.fullmatch(text)
    if not found:
        return text
    first, below, below_too, above, above_too, last = found.groups()
    low, left, right, high = (first, below, below_too, last) if below else (last, above_too, above, first)
    return f"{'(' if left in OPEN else '['}{low},{high}{')' if right in OPEN else ']'}"


def split_assignment(text: str) -> tuple[Relation, tuple[str, ...], str]:
    """What the equal signs say: the kind of relation, the names on the left and the values on the right.

    Example: `x=1, y=2` is an assignment of ("x", "y") with the value `1,2`; `1=2=3` is a chain, `2x+1=0` an equation.
    """
    if not EQUALS.search(text):
        return "value", (), text
    parts = [split_top_level(part, EQUALS) for part in split_top_level(text, LIST_MARK)]
    if any(len(sides) > 2 for sides in parts):
        return "chain", (), text
    if all(len(sides) == 2 and _is_name(sides[0]) for sides in parts):
        return "assignment", tuple(left.strip() for left, _ in parts), ",".join(right.strip() for _, right in parts)
    return ("equation" if any(len(sides) == 2 for sides in parts) else "value"), (), text


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


def _is_name(left: str) -> bool:
    return not NOT_OF_A_NAME.sub("", left)


def _phrase(text: str) -> str | None:
    whole = WRAPPER.fullmatch(text)
    if not whole and not re.fullmatch(r"[A-Z]?[a-z]{2,}", text):
        return None
    words = " ".join((whole.group(1) if whole else text).lower().split()).strip(" .")
    return words if re.search(r"[a-z]{3}|^no$", words) and not re.search(r"\d", words) else None


def _is_prose(bare: str) -> bool:
    words = [word for word in WORD.findall(ENVIRONMENT.sub("", bare)) if len(word) > 1 and word not in FUNCTIONS]
    return len(words) > 1 and any(len(word) > 2 for word in words)
