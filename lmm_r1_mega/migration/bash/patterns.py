r"""Patterns of bash: what `*`, `?` and `[...]` match. In a pattern, a letter that was quoted has a backslash before it."""

from __future__ import annotations

import re
from collections.abc import Callable

_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "lower": "a-z",
    "punct": re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    "space": r"\s",
    "upper": "A-Z",
    "word": r"\w",
    "xdigit": "0-9a-fA-F",
}
_PIECE = re.compile(
    r"\\(?P<quoted>.)|(?P<any>\*)|(?P<one>\?)|\[(?P<set>[!^]?\]?(?:\[:\w+:\]|\\.|[^\]\\])*)\](?!\])|(?P<letter>.)", re.DOTALL
)
_EXTENDED = re.compile(r"(?<!\\)[?*+@!]\(")


def to_regex(pattern: str) -> str:
    """The regular expression of a pattern.

    Example: "a*[!0-9]" -> "a.*[^0-9]"
    """
    if _EXTENDED.search(pattern):
        raise ValueError("patterns such as @(a|b) are not read here")
    return "".join(_piece(match) for match in _PIECE.finditer(pattern))


def matches(text: str, pattern: str) -> bool:
    """Whether the whole text is of the pattern."""
    return re.fullmatch(to_regex(pattern), text, re.DOTALL) is not None


def strip(text: str, sign: str, pattern: str) -> str:
    """Without the beginning (`#`) or the end (`%`) that matches; doubled signs take the longest.

    Example: "a,b,c", "%%", ",*" -> "a"
    """
    size, whole = len(text), re.compile(to_regex(pattern), re.DOTALL)
    ends = range(size + 1) if len(sign) == 1 else range(size, -1, -1)
    if sign[0] == "#":
        return next((text[end:] for end in ends if whole.fullmatch(text, 0, end)), text)
    return next((text[: size - end] for end in ends if whole.fullmatch(text, size - end)), text)


def replace(text: str, pattern: str, put: str, *, where: str) -> str:
    """With the longest match replaced: the first one (""), all ("/"), at the beginning ("#") or at the end ("%")."""
    whole = re.compile(to_regex(pattern), re.DOTALL)
    result, start = "", 0
    while start < len(text):
        end = next((end for end in range(len(text), start, -1) if whole.fullmatch(text, start, end)), None)
        if end is None or (where == "%" and end != len(text)):
            if where == "#":
                break
            result, start = result + text[start], start + 1
            continue
        result, start = result + put, end
        if where != "/":
            break
    return result + text[start:]


def change_case(text: str, sign: str, pattern: str) -> str:
    """Letters that match as capitals (`^`) or small ones (`,`): the first, or with doubled signs all.

    Example: "abc", "^", "" -> "Abc"
    """
    change: Callable[[str], str] = str.upper if sign[0] == "^" else str.lower
    count = len(text) if len(sign) == 2 else 1
    return "".join(change(letter) if matches(letter, pattern or "?") else letter for letter in text[:count]) + text[count:]


def quote(text: str) -> str:
    """A text as the pattern that it alone matches."""
    return re.sub(r"(.)", r"\\\1", text, flags=re.DOTALL)


def unquote(pattern: str) -> str:
    """The inverse of `quote`."""
    return re.sub(r"\\(.)", r"\1", pattern, flags=re.DOTALL)


def _piece(match: re.Match[str]) -> str:
    if match["any"]:
        return ".*"
    if match["one"]:
        return "."
    if match["set"] is None:
        return re.escape(match["quoted"] or match["letter"])
    inner = match["set"]
    sign = "^" if inner[:1] in ("!", "^") else ""
    inner = inner[len(sign) :]
    inner = re.sub(r"\\(?!.)", r"\\\\", inner)
    unknown = [name for name in re.findall(r"\[:(\w+):\]", inner) if name not in _CLASSES]
    if unknown:
        raise ValueError(f"[:{unknown[0]}:] is no class of letters")
    classes = re.sub(r"\[:(\w+):\]", lambda found: _CLASSES[found[1]], inner)
    return f"[{sign}{re.sub(r'^]', re.escape(']'), classes).replace('[', re.escape('['))}]"
