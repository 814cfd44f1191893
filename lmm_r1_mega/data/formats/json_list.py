"""Rows out of one JSON list, one by one, and copies of it with some of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import Any, TextIO

from lmm_r1_mega.data.formats.rows import BROKEN_LIST, BadRow, Change, Keep, RawRow, is_encodable
from lmm_r1_mega.errors import BadData

_BOM = b"\xef\xbb\xbf"
_DECODER = json.JSONDecoder()
_CHUNK = 2**20  # letters that are read at a time
_LOOK_AHEAD = 3  # letters behind a number that tell whether it has ended
_CUT_WORD = 16  # letters before the end of what is read in which an error may come from the cut: more than -Infinity has
_KEEP_BYTES = "surrogateescape"  # what is not UTF-8 is seen in the element that has it


def is_list(path: Path) -> bool:
    """Whether a file begins as a JSON list does."""
    with path.open("rb") as file:
        return file.read(4096).removeprefix(_BOM).lstrip().startswith(b"[")


def read_list(path: Path) -> Iterator[RawRow | BadRow]:
    """The elements of a list. What is behind a mistake in its syntax is no list any more: there the reading ends with a bad row."""
    try:
        for element in _elements(path):
            if is_encodable(element.text):
                yield RawRow(element.number, element.value)
            else:
                yield BadRow(path, element.number, "json", "it is not in UTF-8")
    except _Broken as broken:
        yield BadRow(path, broken.number, BROKEN_LIST, str(broken))


def copy_list(path: Path, target: Path, keep: Keep, *, change: Change | None = None) -> None:
    """The elements that are kept, letter for letter unless a change makes others of them.

    Raises: BadData where the list breaks off: nobody knows the rows behind.
    """
    kept = (element for element in _elements(path) if keep(element.number))
    try:
        with target.open("w", encoding="utf-8", newline="") as copy:
            border = "[\n"
            for element in kept:
                changed = change(element.value) if change else element.value
                copy.write(border + (element.text if changed == element.value else json.dumps(changed, ensure_ascii=False)))
                border = ",\n"
            copy.write("\n]\n" if border == ",\n" else "[]\n")
    except _Broken as broken:
        raise BadData(f"data file {path}, element {broken.number}: {broken}: fix that place first") from broken


@dataclass(frozen=True, slots=True)
class _Element:
    """An element of a list."""

    number: int
    """From 1."""
    value: Any
    text: str
    """As it is written."""


class _Broken(ValueError):
    """The list is none from this element on; the message says where and why."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number


@dataclass(frozen=True, slots=True)
class _Spot:
    """A place in a file."""

    line: int
    column: int
    """Letters of its line before it."""
    byte: int
    """Bytes of the file before it."""

    def after(self, text: str) -> _Spot:
        """The place behind a text that begins here."""
        lines = text.count("\n")
        column = len(text) - text.rindex("\n") - 1 if lines else self.column + len(text)
        return _Spot(self.line + lines, column, self.byte + len(text.encode(errors=_KEEP_BYTES)))

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column + 1} (byte {self.byte})"


def _elements(path: Path) -> Iterator[_Element]:
    """The elements of a list without ever holding more than one of them and the letters of a chunk."""
    number = 0
    with path.open("rb") as raw:
        start = _Spot(1, 0, len(_BOM) if raw.read(len(_BOM)) == _BOM else 0)
    with path.open(encoding="utf-8-sig", errors=_KEEP_BYTES, newline="") as file:
        window = _Window(file, start)
        try:
            for number, (value, text) in enumerate(_decoded(window), start=1):
                yield _Element(number, value, text)
        except JSONDecodeError as error:
            reason = f"{error.msg} at {window.place(error.pos)}: what is before it was read ({number} elements), nothing behind it"
            raise _Broken(number + 1, reason) from error


def _decoded(window: _Window) -> Iterator[tuple[Any, str]]:
    """The elements of a list and their texts."""
    window.skip("[")
    is_first = True
    while not window.skip("]"):
        if not is_first and not window.skip(","):
            raise window.error("',' or ']' is missing")
        yield window.decode()
        is_first = False
    if not window.is_at_end():
        raise window.error("there is more behind the list's ']'")


class _Window:
    """The part of an open file that is being decoded."""

    def __init__(self, file: TextIO, start: _Spot) -> None:
        self._file = file
        self._text = ""
        self._begin = start
        self._next = 0

    def place(self, index: int) -> _Spot:
        """Where in the file a letter of the window is."""
        return self._begin.after(self._text[:index])

    def error(self, message: str) -> JSONDecodeError:
        """A mistake at the letter that is next."""
        return JSONDecodeError(message, self._text, self._next)

    def skip(self, letter: str) -> bool:
        """Go past white space, and past this letter if it follows."""
        if self._letter() != letter:
            return False
        self._next += 1
        return True

    def is_at_end(self) -> bool:
        return self._letter() == ""

    def decode(self) -> tuple[Any, str]:
        """The value that follows, and its text. What may only be cut is tried again with twice as many letters.

        Raises: JSONDecodeError where there is none.
        """
        self._letter()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._next)
            except JSONDecodeError as error:
                if self._may_be_cut(error) and self._grow():
                    continue
                raise
            except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists without end
                raise self.error(str(error)) from error
            if len(self._text) - end < _LOOK_AHEAD and self._grow():  # 1 may be the beginning of 1e+2
                continue
            text, self._next = self._text[self._next : end], end
            return value, text

    def _letter(self) -> str:
        """The first letter that is not white space, without going past it; none at the end of the file."""
        while True:
            while self._next < len(self._text) and self._text[self._next] in " \t\r\n":
                self._next += 1
            if self._next < len(self._text):
                return self._text[self._next]
            if not self._grow():
                return ""

    def _may_be_cut(self, error: JSONDecodeError) -> bool:
        """Whether the mistake may be that no more was read."""
        return error.msg.startswith("Unterminated string") or error.pos > len(self._text) - _CUT_WORD

    def _grow(self) -> bool:
        """Read on and drop what is decoded; False, and nothing is dropped, where there is no more."""
        more = self._file.read(max(_CHUNK, len(self._text) - self._next))
        if more:
            self._begin = self.place(self._next)
            self._text, self._next = self._text[self._next :] + more, 0
        return bool(more)
