"""Lists cut at their marks, brackets around a whole text, inequalities as intervals."""

from __future__ import annotations

import re

OR = r"\bor\b|\u6216"
LIST_MARK = re.compile(rf",?\s*(?:\\?\band\b|\u548c|{OR})|[,;]")
ORDER_SIGN = re.compile(r"[<>]|\\[lg]e(?![a-zA-Z])")
TURNED_ROUND = {">": "<", r"\ge": r"\le", "<": "<", r"\le": r"\le"}
NAMES_IN = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]")
OPENING, CLOSING = "([{", ")]}"


def split_top_level(text: str, mark: re.Pattern[str]) -> list[str]:
    """Cuts at the marks that stand outside all brackets."""
    depth, scanned, start, parts = 0, 0, 0, []
    for match in mark.finditer(text):
        between = text[scanned : match.start()]
        depth += sum(between.count(sign) for sign in OPENING) - sum(between.count(sign) for sign in CLOSING)
        scanned = match.start()
        if depth == 0:
            parts.append(text[start : match.start()])
            start = match.end()
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


def both_signs(text: str) -> str:
    r"""Members with one `\pm` written out: `x\pm 1` -> `x+1,x-1`; any other text as it is."""
    if "\\pm" not in text:
        return text
    members = split_top_level(text, LIST_MARK)
    if any(member.count("\\pm") > 1 for member in members):
        return text
    pairs = [(_signed(member, "+", "-"), _signed(member, "-", "+")) for member in members]
    return ",".join(member for pair in pairs for member in dict.fromkeys(pair))


def _signed(member: str, upper: str, lower: str) -> str:
    return member.replace("\\pm", upper).replace("\\mp", lower).strip().removeprefix("+").strip()


def ascending(text: str) -> tuple[list[str], list[str]]:
    r"""Sides and signs of inequalities from the smallest side up: `3>x\ge 1` -> ["1", "x", "3"], [`\le`, "<"].

    No signs if they do not all point the same way.
    """
    sides, signs = [side.strip() for side in split_top_level(text, ORDER_SIGN)], ORDER_SIGN.findall(text)
    if len(signs) != len(sides) - 1 or len({sign in ("<", r"\le") for sign in signs}) > 1:
        return [text], []
    if signs and TURNED_ROUND[signs[0]] != signs[0]:
        return sides[::-1], [TURNED_ROUND[sign] for sign in reversed(signs)]
    return sides, signs


def inequality(text: str) -> tuple[str, str] | None:
    r"""The variable of inequalities and its values: `1<x\le 2` -> "x", "(1,2]"; `x<1 or x\ge 2` -> "x", `(-\infty,1)\cup[2,\infty)`.

    None for every other text, also if a bound is no number.
    """
    intervals = [_interval(part.strip(" ,")) for part in re.split(OR, text)]
    known = [interval for interval in intervals if interval]
    if len(known) < len(intervals) or len({name for name, _ in known}) > 1:
        return None
    return known[0][0], "\\cup".join(interval for _, interval in known)


def _interval(text: str) -> tuple[str, str] | None:
    sides, signs = ascending(text)
    if len(sides) == 2 and len(sides[0]) == 1 and sides[0].isalpha():  # x<2
        sides, signs = ["-\\infty", *sides], ["<", *signs]
    elif len(sides) == 2:
        sides, signs = [*sides, "\\infty"], [*signs, "<"]
    if len(sides) != 3 or not all(sides) or not re.fullmatch("[a-zA-Z]", sides[1]):
        return None
    low, variable, high = sides
    if NAMES_IN.search(low) or NAMES_IN.search(high):
        return None
    return variable, f"{'(' if signs[0] == '<' else '['}{low},{high}{')' if signs[1] == '<' else ']'}"
