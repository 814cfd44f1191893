"""Units behind a number: told from algebra, spelled one way, split off."""

from __future__ import annotations

import re

WRAPPER = re.compile(r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}")
FUNCTIONS = frozenset({
    "and", "or", "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "lim", "max", "min", "sqrt", "gcd", "lcm", "mod", "det",
    "pi",
})  # fmt: skip
"""Words that are mathematics, not language."""
SHORT_UNITS = frozenset({
    "cm", "mm", "km", "dm", "nm", "kg", "mg", "ml", "mL", "kW", "kJ", "eV", "Hz", "Pa", "lb", "oz", "ft", "yd", "mi", "mph", "min", "hr",
    "rad", "deg", "m", "g", "s", "h", "L", "N", "W", "V", "A", "K", "J", "C", "F", "in", "sq", "cu", "um", "am", "pm",
})  # fmt: skip
UNIT_NAMES = {
    "meter": "m", "metre": "m", "gram": "g", "liter": "L", "litre": "L", "second": "s", "sec": "s", "minute": "min", "hour": "h", "hr": "h",
    "degree": "degree", "deg": "degree", "inch": "in", "inche": "in", "foot": "ft", "feet": "ft", "mile": "mi", "yard": "yd",
    "pound": "lb", "ounce": "oz", "ml": "mL", "mph": "mi/h", "kph": "km/h", "dollar": "dollar", "cent": "cent", "day": "day",
    "week": "week", "month": "month", "year": "year", "ohm": "ohm",
    "\u7c73": "m", "\u5398\u7c73": "cm", "\u6beb\u7c73": "mm", "\u5206\u7c73": "dm", "\u5343\u7c73": "km", "\u516c\u91cc": "km",
    "\u5ea6": "degree", "\u514b": "g", "\u5343\u514b": "kg", "\u516c\u65a4": "kg", "\u5347": "L", "\u6beb\u5347": "mL", "\u79d2": "s",
    "\u5206\u949f": "min", "\u5c0f\u65f6": "h", "\u65f6": "h", "\u5929": "day", "\u5e74": "year", "\u5143": "yuan",
}  # fmt: skip
UNIT_PREFIXES = {"centi": "c", "kilo": "k", "milli": "m", "micro": "u", "nano": "n"}
MEASURES = SHORT_UNITS | {part for symbol in UNIT_NAMES.values() for part in symbol.split("/")}
"""Units of which one is not another. Apples may be fruits."""
CHINESE_WORD = "[\u4e00-\u9fff]+"
RAISED = r"(?:\s*\^\s*\{?\s*-?\d\s*\}?)?"
UNIT_WORD = rf"(?<![\\a-zA-Z\u4e00-\u9fff])(?:[a-zA-Z]+|{CHINESE_WORD}){RAISED}"
UNIT_TAIL = re.compile(rf"(?P<gap>\s*)(?P<unit>{UNIT_WORD}(?:\.?\s*(?:/|\\cdot|\s)\s*{UNIT_WORD})*)\s*$")
UNIT_RATIO = re.compile(rf"\\frac\s*\{{\s*([a-zA-Z]+{RAISED})\s*\}}\s*\{{\s*([a-zA-Z]+{RAISED})\s*\}}\s*$")
UNIT_COMMAND = re.compile(r"\\(degree|Omega|mu)(?![a-zA-Z])\s*")
COMMAND_NAMES = {"degree": " degree ", "Omega": " ohm ", "mu": " u"}


def split_unit(text: str) -> tuple[str, str]:
    r"""A numeric value and its unit in one spelling; the unit is empty where there is none.

    Example: `3 square centimeters` and `3\text{ cm}^2` are both ("3", "cm^2"); `2\pi h` and `3x` have no unit.
    """
    bare = UNIT_COMMAND.sub(lambda found: COMMAND_NAMES[found[1]], WRAPPER.sub(r" \1 ", text))
    bare = UNIT_RATIO.sub(r" \1/\2", " ".join(bare.split()))  # single spaces: those of a row could be matched in many ways
    found = UNIT_TAIL.search(bare)
    if not found:
        return text, ""
    value = bare[: found.start()].strip()
    symbols = re.sub(r"\\[a-zA-Z]+", "", value)
    is_numeric = bool(re.search(r"\d", symbols)) and not re.search(r"[a-zA-Z]", symbols)
    words = re.findall(rf"[a-zA-Z]+|{CHINESE_WORD}", found["unit"].replace("\\cdot", " "))
    is_apart = (bool(found["gap"]) and value[-1:].isdigit()) or bare != text
    if is_numeric and all(_is_unit(word, is_apart=is_apart) for word in words):
        return value, canonical_unit(found["unit"])
    return text, ""


def are_different(unit: str, other: str) -> bool:
    """Whether two units, in their one spelling, measure different things: `cm` and `m`, not `apple` and `fruit`."""
    words = re.findall(r"[a-zA-Z]+", f"{unit} {other}")
    return bool(unit and other) and unit != other and MEASURES.issuperset(words)


def canonical_unit(unit: str) -> str:
    """One spelling of a unit: `square centimeters` -> `cm^2`, `miles per hour` -> `mi/h`, `square units` -> `unit`."""
    unit = re.sub(r"\s*(\^|/|\\cdot)\s*", r"\1", re.sub(r"[{}\s]+", " ", unit)).strip()
    unit = re.sub(r"\s+per\s+", "/", unit)
    unit = re.sub(rf"(?:\b(?:square|sq)\.?\s+|\u5e73\u65b9)([a-zA-Z]+|{CHINESE_WORD})", r"\1^2", unit)
    unit = re.sub(rf"(?:\b(?:cubic|cu)\.?\s+|\u7acb\u65b9)([a-zA-Z]+|{CHINESE_WORD})", r"\1^3", unit)
    is_bare = re.search(r"\bunits?\b", unit)
    return "unit" if is_bare else re.sub(rf"(?<!\\)[a-zA-Z]+|{CHINESE_WORD}", lambda word: _unit_symbol(word.group()), unit)


def _unit_symbol(word: str) -> str:
    if word in SHORT_UNITS and word not in UNIT_NAMES:
        return word
    name = word.lower().removesuffix("s")
    for prefix, symbol in UNIT_PREFIXES.items():
        if name.startswith(prefix) and name.removeprefix(prefix) in UNIT_NAMES:
            return symbol + UNIT_NAMES[name.removeprefix(prefix)]
    return UNIT_NAMES.get(name, name)


def _is_unit(word: str, *, is_apart: bool) -> bool:
    """Whether a word behind a number is a unit; a lone letter only where it stands apart, for `3m` may be algebra."""
    if len(word) > 2 or not word.isascii():
        return word not in FUNCTIONS
    return word in SHORT_UNITS and (is_apart or len(word) > 1)
