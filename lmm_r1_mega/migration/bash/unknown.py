"""Values that a script's text does not tell.

Each stands in texts as one letter that no script has, so that it can be joined, stored and handed on like any other text; whatever
would have to look at it finds the letter. A letter of the second range is a value that bash would split into any number of words.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_FIRST, _SPLIT = 0xF0000, 0x100000


@dataclass(frozen=True)
class Unknown:
    """Why a value is not known."""

    reason: str
    """A sentence: which value, on which line, and what to do."""
    unset: str = ""
    """Variable or argument that is not set; empty for values that only a run could tell."""


@dataclass
class Unknowns:
    """All that were met, by their letters."""

    _known: list[Unknown] = field(default_factory=list)

    def letter(self, unknown: Unknown) -> str:
        """The letter that stands for it."""
        if unknown not in self._known:
            self._known.append(unknown)
        return chr(_FIRST + self._known.index(unknown))

    def first(self, text: str) -> Unknown | None:
        """The first one in a text."""
        return next((self._known[ord(letter) % 0x10000] for letter in text if is_letter(letter)), None)


def is_letter(letter: str) -> bool:
    """Whether a letter stands for an unknown value."""
    return ord(letter) >= _FIRST


def first_letter(text: str) -> str:
    """The first letter of an unknown value, or nothing."""
    return next(filter(is_letter, text), "")


def is_split(text: str) -> bool:
    """Whether bash might make any number of words of it."""
    return any(ord(letter) >= _SPLIT for letter in text)


def as_split(text: str) -> str:
    """The text with its unknown values as ones that may be any number of words."""
    return "".join(chr(ord(letter) % 0x10000 + _SPLIT) if is_letter(letter) else letter for letter in text)


def readable(text: str) -> str:
    """The text with dots for what is not known."""
    return "".join("..." if is_letter(letter) else letter for letter in text)
