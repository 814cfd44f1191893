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
    "rad", "deg", "m", "g", "s", "h", "L", "N", "W", "V", "A", "K", "J", "C", "F",
})  # fmt: skip
UNIT_NAMES = {
    "meter": "m", "metre": "m", "gram": "g", "liter": "L", "litre": "L", "second": "s", "sec": "s", "minute": "min", "hour": "h", "hr": "h",
    "degree": "degree", "deg": "degree", "inch": "in", "inche": "in", "foot": "ft", "feet": "ft", "mile": "mi", "yard": "yd",
    "pound": "lb", "ounce": "oz", "ml": "mL",
}  # fmt: skip
UNIT_PREFIXES = {"centi": "c", "kilo": "k", "milli": "m"}
UNIT_WORD = r"(?:\\degree|(?<![\\a-zA-Z])[a-zA-Z]+)(?:\s*\^\s*\{?\s*-?\d\s*\}?)?"
UNIT_TAIL = re.compile(rf"(?P<gap>\s*)(?P<unit>{UNIT_WORD}(?:\s*(?:/|\s)\s*{UNIT_WORD})*)\s*$")


def split_unit(text: str) -> tuple[str, str]:
    r"""A numeric value and its unit in one spelling; the unit is empty where there is none.

    Example: `3 square centimeters` and `3\text{ cm}^2` are both ("3", "cm^2"); `2\pi h` and `3x` have no unit.
    """
    bare = WRAPPER.sub(r" \1 ", text)
    found = UNIT_TAIL.search(bare)
    if not found:
        return text, ""
    value = bare[: found.start()].strip()
    symbols = re.sub(r"\\[a-zA-Z]+", "", value)
    is_numeric = bool(re.search(r"\d", symbols)) and not re.search(r"[a-zA-Z]", symbols)
    words = re.findall(r"\\degree|[a-zA-Z]+", found["unit"])
    is_apart = (bool(found["gap"]) and value[-1:].isdigit()) or bare != text
    if is_numeric and all(_is_unit(word, is_apart=is_apart) for word in words):
        return value, canonical_unit(found["unit"])
    return text, ""


def canonical_unit(unit: str) -> str:
    """One spelling of a unit: `square centimeters` -> `cm^2`, `miles per hour` -> `mi/h`, `square units` -> `unit`."""
    unit = unit.replace("\\degree", "degree")
    unit = re.sub(r"\s*([\^/])\s*", r"\1", re.sub(r"[{}\s]+", " ", unit)).strip()
    unit = re.sub(r"\s+per\s+", "/", unit)
    unit = re.sub(r"\b(?:square|sq)\s+([a-zA-Z]+)", r"\1^2", unit)
    unit = re.sub(r"\bcubic\s+([a-zA-Z]+)", r"\1^3", unit)
    return "unit" if re.search(r"\bunits?\b", unit) else re.sub(r"[a-zA-Z]+", lambda word: _unit_symbol(word.group()), unit)


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
    if word == "\\degree" or len(word) > 2:
        return word not in FUNCTIONS
    return word in SHORT_UNITS and (is_apart or len(word) > 1)
