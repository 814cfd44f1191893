"""Where quotes, expansions and words of a text end."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lmm_r1_mega.migration.bash.tree import Source

Span = tuple[int, int]

_COUNTERS = re.compile(r"([A-Za-z_]\w*)\s*(?:(?:<<|>>|[-+*/%&|^])?=(?!=)|\+\+|--)|(?:\+\+|--)([A-Za-z_]\w*)")


class Unreadable(ValueError):
    """A part of the script that is not read here; the message says what and where."""


@dataclass(frozen=True)
class Scanner:
    """Finds ends in one text."""

    source: Source

    def words(self, start: int, end: int) -> list[Span]:
        """The words between two places; blanks and comments between them are left out."""
        text, spans, place = self.source.text, [], start
        while place < end:
            if text[place] in " \t\n":
                place += 1
            elif text.startswith("\\\n", place):
                place += 2
            elif text[place] == "#":
                line = text.find("\n", place, end)
                place = end if line < 0 else line
            else:
                begin, place = place, self.word_end(place, end)
                if place == begin:
                    raise Unreadable(
                        f"{self.source.place(place)}: {text[place : place + 20]!r} is not read here as bash has it: simplify it"
                    )
                spans.append((begin, place))
        return spans

    def choices(self, start: int, end: int) -> list[Span]:
        """The patterns of a branch of `case`, which stand between `|`."""
        text, spans, place = self.source.text, [], start
        while place < end:
            if text[place] in " \t\n|(":
                place += 1
            else:
                begin, place = place, self.word_end(place, end)
                spans.append((begin, place))
                if place == begin:
                    raise Unreadable(f"{self.source.place(place)}: {text[start:end]!r} is not read here as bash has it: simplify it")
        return spans

    def word_end(self, place: int, end: int, ends: str = " \t\n;|&()<>") -> int:
        """Where the word that begins here ends."""
        text, inner = self.source.text, self.source.inner
        while place < end and (text[place] not in ends or (text[place] in "<>" and place in inner)):
            after = place + 1
            place = self.skipped(place, quoted=False)
            if text[after - 1] == "=" and text[after : after + 1] == "(" and after in inner:
                place = inner[after].end
        return place

    def closing_quote(self, place: int) -> int:
        """Where the double-quoted text that begins here ends."""
        place += 1
        while self.source.text[place] != '"':
            place = self.skipped(place, quoted=True)
        return place

    def closing_brace(self, place: int, *, quoted: bool) -> int:
        """Where the `${` that begins here ends."""
        place += 2
        while self.source.text[place] != "}":
            place = self.closing_quote(place) + 1 if self.source.text[place] == '"' else self.skipped(place, quoted=quoted)
        return place

    def closing_bracket(self, place: int) -> int:
        """Where the `[` of an index ends."""
        place += 1
        while self.source.text[place] != "]":
            place = self.skipped(place, quoted=False)
        return place

    def find(self, sign: str, start: int, end: int) -> int:
        """Where a sign stands outside of quotes and expansions, or the end."""
        while start < end and self.source.text[start] != sign:
            start = self.skipped(start, quoted=False)
        return min(start, end)

    def skipped(self, place: int, *, quoted: bool) -> int:
        """The place behind the letter, quote or expansion that begins here."""
        text = self.source.text
        if place in self.source.inner and text[place] != "(":
            return self.source.inner[place].end
        if text[place] == "\\":
            return place + 2
        if text[place] == "`":  # inside ${...} the grammar overlooks it
            return place + 1 + len(re.match(r"(?:[^`\\]|\\.)*`", text[place + 1 :], re.DOTALL)[0])  # type: ignore[index]
        if text.startswith("${", place):
            return self.closing_brace(place, quoted=quoted) + 1
        if quoted:
            return place + 1
        if text[place] == "'":
            return _behind(text, "'", place + 1)
        if text[place] == '"':
            return self.closing_quote(place) + 1
        if text.startswith("$'", place):
            return self.closing_ansi(place) + 1
        return place + 1

    def closing_ansi(self, place: int) -> int:
        """Where the `$'` that begins here ends."""
        place += 2
        while self.source.text[place] != "'":
            place += 2 if self.source.text[place] == "\\" else 1
        return place


def counters(text: str) -> set[str]:
    """Variables that an arithmetic text sets."""
    return {name for pair in _COUNTERS.findall(text) for name in pair if name}


def _behind(text: str, sign: str, place: int) -> int:
    found = text.find(sign, place)
    return found + 1 if found >= 0 else len(text) + 1
