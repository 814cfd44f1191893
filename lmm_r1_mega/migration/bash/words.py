"""From pieces of text, quoted and not, to the words that a command gets: braces, splitting, patterns of file names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

from lmm_r1_mega.migration.bash.patterns import quote
from lmm_r1_mega.migration.bash.unknown import as_split

Origin = Literal["literal", "quoted", "expanded", "end"]

_SEQUENCE = re.compile(r"(-?\d+|[a-zA-Z])\.\.(-?\d+|[a-zA-Z])(?:\.\.([-+]?\d+))?")


@dataclass(frozen=True)
class Piece:
    """A text, and whether it stands in the script, inside quotes, or comes from an expansion outside of them."""

    text: str
    origin: Origin


END = Piece("", "end")
"""Between the elements of "$@"."""


@dataclass(frozen=True)
class Word:
    """A word of a command."""

    text: str
    bare: str
    """What of it stood outside quotes."""
    span: tuple[int, int] | None = None
    """Where it stands, if it has the form of an assignment."""

    @property
    def is_file_pattern(self) -> bool:
        """Whether bash puts the names of files that match in its place."""
        return bool(re.search(r"[*?]|\[.*\]", self.bare, re.DOTALL))


def joined(pieces: Sequence[Piece]) -> str:
    """All of it as one text."""
    return "".join(" " if piece is END else piece.text for piece in pieces)


def as_pattern(pieces: Sequence[Piece]) -> str:
    """All of it as a pattern, in which quoted letters stand for themselves."""
    return "".join(quote(piece.text) if piece.origin == "quoted" else piece.text for piece in pieces)


def split(pieces: Sequence[Piece], separators: str) -> list[Word]:
    """The words; `separators` is IFS.

    Example: a literal "x" and an expanded "1 2" -> "x1", "2"
    """
    words: list[Word] = []
    current: Word | None = None
    for piece in pieces:
        if piece.origin != "expanded":
            if piece is not END:
                current = _with(current, piece.text, bare=piece.text if piece.origin == "literal" else "")
            elif current is not None:
                words, current = [*words, current], None
            continue
        for text, ends in _fields(piece.text, separators):
            if text or (ends and ends.strip(" \t\n")):
                current = _with(current, as_split(text), bare=text)
            if ends and current is not None:
                words, current = [*words, current], None
    return words if current is None else [*words, current]


def _with(word: Word | None, text: str, *, bare: str) -> Word:
    return Word(word.text + text, word.bare + bare) if word else Word(text, bare)


def _fields(text: str, separators: str) -> Iterator[tuple[str, str]]:
    """Texts with the separator that ends each: blanks around another separator belong to it."""
    blanks = re.escape("".join(sign for sign in separators if sign in " \t\n"))
    others = re.escape("".join(sign for sign in separators if sign not in " \t\n"))
    ways = [f"[{blanks}]*[{others}][{blanks}]*"] if blanks and others else [f"[{others}]"] if others else []
    ways += [f"[{blanks}]+"] if blanks else []
    if not ways:
        yield text, ""
        return
    start = 0
    for match in re.finditer("|".join(ways), text):
        yield text[start : match.start()], match[0]
        start = match.end()
    if start < len(text):
        yield text[start:], ""


def with_braces(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """The words that `{a,b}` and `{1..3}` make of one.

    Example: a literal "x{1,2}" -> "x1", "x2"
    """
    if not any(piece.origin == "literal" and "{" in piece.text for piece in pieces):
        return [list(pieces)]
    for start, end, choices in _braces(pieces):
        if choices:
            middles = [middle for choice in choices for middle in with_braces(choice)]
            rests = with_braces(pieces[end + 1 :])
            return [[*pieces[:start], *middle, *rest] for middle in middles for rest in rests]
    return [list(pieces)]


def _braces(pieces: Sequence[Piece]) -> Iterator[tuple[int, int, list[list[Piece]]]]:
    """Pairs of braces with what may stand in their place: what their commas part, or the numbers of a sequence."""
    signs = [piece.text if piece.origin == "literal" else "" for piece in pieces]
    for start in (place for place, sign in enumerate(signs) if sign == "{"):
        depths = list(accumulate((sign == "{") - (sign == "}") for sign in signs[start:]))
        if 0 not in depths:
            continue
        end = start + depths.index(0)
        commas = [place for place in range(start, end) if signs[place] == "," and depths[place - start] == 1]
        inside = "".join(signs[start + 1 : end])
        sequence = _SEQUENCE.fullmatch(inside) if all(signs[start:end]) else None
        if commas:
            yield start, end, [list(pieces[first + 1 : last]) for first, last in pairwise([start, *commas, end])]
        elif sequence:
            yield start, end, [[Piece(text, "literal")] for text in _sequence(*sequence.groups())]


def _sequence(first: str, last: str, step: str | None) -> list[str]:
    """Example: "1", "3", None -> 1 2 3; "01", "3", None -> 01 02 03; "a", "c", None -> a b c"""
    if first.isalpha() != last.isalpha():
        return [f"{{{first}..{last}}}"]
    start, end = (ord(first), ord(last)) if first.isalpha() else (int(first), int(last))
    stride = abs(int(step or 1)) or 1
    numbers = range(start, end + (1 if end >= start else -1), stride if end >= start else -stride)
    size = max(len(first), len(last)) if re.search(r"(?<!\d)0\d", f"{first} {last}") else 0
    return [chr(number) if first.isalpha() else f"{number:0{size}d}" for number in numbers]
