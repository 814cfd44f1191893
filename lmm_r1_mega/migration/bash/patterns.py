r"""Patterns of bash: what `*`, `?` and `[...]` match. In a pattern, a letter that was quoted has a backslash before it."""

from __future__ import annotations

import re

_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "lower": "a-z",
    "punct": re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    "space": r"\s",
    "upper": "A-Z",
}
_PIECE = re.compile(r"\\(?P<quoted>.)|\[(?P<set>[!^]?\]?(?:\[:\w+:\]|\\.|[^\]\\])*)\](?!\])|(?P<letter>.)", re.DOTALL)


def compiled(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern.

    Example: "a*[!0-9]" -> "a.*[^0-9]"
    """
    if re.search(r"(?<!\\)[?*+@!]\(", pattern):
        raise ValueError("patterns such as @(a|b) are not read here: write it with [[ ]] and ||")
    return re.compile("".join(map(_piece, _PIECE.finditer(pattern))), re.DOTALL)


def strip(text: str, sign: str, pattern: str) -> str:
    """Without the beginning (`#`) or the end (`%`) that matches; doubled signs take the longest.

    Example: "a,b,c", "%%", ",*" -> "a"
    """
    size, whole = len(text), compiled(pattern)
    ends = range(size + 1) if len(sign) == 1 else range(size, -1, -1)
    if sign[0] == "#":
        return next((text[end:] for end in ends if whole.fullmatch(text, 0, end)), text)
    return next((text[: size - end] for end in ends if whole.fullmatch(text, size - end)), text)


def replace(text: str, pattern: str, put: str, *, where: str) -> str:
    """With the longest match replaced: the first one (""), all ("/"), at the beginning ("#") or at the end ("%")."""
    whole, result, start = compiled(pattern), "", 0
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


def quote(text: str) -> str:
    """A text as the pattern that it alone matches."""
    return re.sub(r"(.)", r"\\\1", text, flags=re.DOTALL)


def unquote(pattern: str) -> str:
    """The inverse of `quote`."""
    return re.sub(r"\\(.)", r"\1", pattern, flags=re.DOTALL)


def with_classes(letters: str) -> str:
    """Example: "[:digit:]_" -> "0-9_" """
    unknown = [name for name in re.findall(r"\[:(\w*)", letters) if f"[:{name}:]" not in letters or name not in _CLASSES]
    if unknown:
        raise ValueError(f"[:{unknown[0]}:] is no class of letters that is read here: write the letters")
    return re.sub(r"\[:(\w+):\]", lambda found: _CLASSES[found[1]], letters)


def _piece(match: re.Match[str]) -> str:
    if match["set"] is None:
        return {"*": ".*", "?": "."}.get(match["letter"], re.escape(match["quoted"] or match["letter"]))
    sign = "^" if match["set"][:1] in ("!", "^") else ""
    inner = with_classes(re.sub(r"\\(?!.)", r"\\\\", match["set"][len(sign) :]))
    return f"[{sign}{re.sub(r'^]', re.escape(']'), inner).replace('[', re.escape('['))}]"
