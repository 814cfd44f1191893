r"""From pieces of text, quoted and not, to the words that a command gets; patterns, in which a quoted letter has a backslash before it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lmm_r1_mega.migration.bash.unknown import as_split

WordOrigin = Literal["literal", "quoted", "expanded", "end"]

_PIECE = re.compile(r"\\(?P<quoted>.)|\[(?P<set>[!^]?(?:\\.|[^\]\\[])+)\]|(?P<letter>.)", re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """A text, and whether it stands in the script, inside quotes, or comes from an expansion outside of them."""

    text: str
    origin: WordOrigin


END = Piece("", "end")
"""Between the elements of "$@"."""


@dataclass(frozen=True)
class Word:
    """A word of a command."""

    text: str
    bare: str
    """What of it stood outside quotes."""


def joined(pieces: Sequence[Piece]) -> str:
    """All of it as one text."""
    return "".join(" " if piece is END else piece.text for piece in pieces)


def as_pattern(pieces: Sequence[Piece]) -> str:
    """All of it as a pattern."""
    return "".join(re.sub(r"(?s)(.)", r"\\\1", piece.text) if piece.origin == "quoted" else piece.text for piece in pieces)


def compiled(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern.

    Example: "a*[!0-9]" -> "a.*[^0-9]"
    """
    matches = list(_PIECE.finditer(pattern))
    if re.search(r"(?<!\\)[?*+@!]\(", pattern) or any(match["letter"] == "[" for match in matches):
        raise ValueError("patterns such as @(a|b) and [[:digit:]] are not read here: write the letters, or [[ ]] with ||")
    return re.compile("".join(map(_as_expression, matches)), re.DOTALL)


def _as_expression(match: re.Match[str]) -> str:
    if match["set"] is None:
        return {"*": ".*", "?": "."}.get(match["letter"], re.escape(match["quoted"] or match["letter"]))
    sign = "^" if match["set"][0] in "!^" else ""
    letters = re.sub(r"(?s)\\(.)|([^-])", lambda letter: re.escape(letter[1] or letter[2]), match["set"][len(sign) :])
    return f"[{sign}{letters}]"


def strip(text: str, sign: str, pattern: str) -> str:
    """Without the beginning (`#`) or the end (`%`) that matches; doubled signs take the longest.

    Example: "a,b,c", "%%", ",*" -> "a"
    """
    size, whole = len(text), compiled(pattern)
    ends = range(size + 1) if len(sign) == 1 else range(size, -1, -1)
    if sign[0] == "#":
        return next((text[end:] for end in ends if whole.fullmatch(text, 0, end)), text)
    return next((text[: size - end] for end in ends if whole.fullmatch(text, size - end)), text)


def replace(text: str, sign: str, pattern: str, new: str) -> str:
    """With the longest match replaced: the first one (`/`), all (`//`), at the beginning (`/#`) or at the end (`/%`).

    Example: "a/b/c", "//", "/", "_" -> "a_b_c"
    """
    expression = compiled(pattern).pattern
    expression = {"/#": rf"\A(?:{expression})", "/%": rf"(?:{expression})\Z"}.get(sign, expression)
    return re.sub(expression, lambda match: new if match[0] else "", text, count=0 if sign == "//" else 1, flags=re.DOTALL)


def split(pieces: Sequence[Piece], separators: str) -> list[Word]:
    """The words; `separators` is IFS.

    Example: a literal "x" and an expanded "1 2" -> "x1", "2"
    """
    words: list[Word] = []
    current: Word | None = None
    for text, bare, is_end in _parts(pieces, separators):
        if text is not None:
            current = Word(current.text + text, current.bare + bare) if current else Word(text, bare)
        if is_end and current is not None:
            words, current = [*words, current], None
    return words if current is None else [*words, current]


def _parts(pieces: Sequence[Piece], separators: str) -> Iterator[tuple[str | None, str, bool]]:
    """Texts, what of each may be a pattern of files, and whether the word ends behind it."""
    blanks = "".join(sign for sign in separators if sign in " \t\n") or "\0"
    others = re.escape("".join(sign for sign in separators if sign not in " \t\n"))
    separator = re.compile(f"([{blanks}]*[{others}][{blanks}]*|[{blanks}]+)" if others else f"([{blanks}]+)")
    for piece in pieces:
        if piece.origin != "expanded":
            yield (None, "", True) if piece is END else (piece.text, piece.text if piece.origin == "literal" else "", False)
            continue
        texts = separator.split(piece.text)
        for text, sign in zip(texts[::2], [*texts[1::2], ""], strict=True):
            yield as_split(text) if text or sign.strip(" \t\n") else None, text, bool(sign)


def has_braces(pieces: Sequence[Piece]) -> bool:
    """Whether bash may make several words of one because of its braces: `{a,b}`, `{1..3}`."""
    text = "".join(piece.text if piece.origin == "literal" else "x" for piece in pieces)
    return re.search(r"\{.*(,|\.\.).*\}", text, re.DOTALL) is not None
