"""Rows of JSON Lines, JSON and CSV files, one by one, and copies of such files with some of the rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from lmm_r1_mega.data.images import is_encodable
from lmm_r1_mega.data.rows import BadRow, Keep, RawRow
from lmm_r1_mega.errors import BadData

_BOM = b"\xef\xbb\xbf"
_DECODER = json.JSONDecoder()
_CHUNK = 2**20  # letters of a JSON list that are read at a time
_LOOK_AHEAD = 3  # letters behind a number that tell whether it has ended
_LONGEST_CELL = 2**27  # room for images as data: URIs
_KEEP_BYTES = "surrogateescape"  # what is not UTF-8 is seen in the row that has it


def read_lines(path: Path) -> Iterator[RawRow | BadRow]:
    """One JSON value a line; empty lines are none."""
    with path.open("rb") as file:
        for line, encoded in enumerate(file, start=1):
            text = (encoded.removeprefix(_BOM) if line == 1 else encoded).strip()
            if not text:
                continue
            try:
                value = _DECODER.decode(text.decode())
            except (ValueError, RecursionError) as error:
                yield BadRow(path, line, "json", f"not a JSON object: {error}")
                continue
            yield RawRow(line, value)


def copy_lines(path: Path, target: Path, keep: Keep) -> None:
    """The lines that are kept, byte for byte."""
    with path.open("rb") as source, target.open("wb") as copy:
        for line, encoded in enumerate(source, start=1):
            if encoded.strip() and keep(line):
                copy.write(encoded if encoded.endswith(b"\n") else encoded + b"\n")


def read_json(path: Path) -> Iterator[RawRow | BadRow]:
    """The elements of one JSON list, or one JSON value a line.

    Raises: BadData where a list breaks off or has no end.
    """
    if not _is_list(path):
        yield from read_lines(path)
        return
    for element in _elements(path):
        yield RawRow(element.number, element.value)


def copy_json(path: Path, target: Path, keep: Keep) -> None:
    """The elements or lines that are kept, letter for letter."""
    if not _is_list(path):
        copy_lines(path, target, keep)
        return
    with target.open("w", encoding="utf-8", newline="") as copy:
        border = "[\n"
        for element in _elements(path):
            if keep(element.number):
                copy.write(border + element.text)
                border = ",\n"
        copy.write("\n]\n" if border == ",\n" else "[]\n")


def read_csv(path: Path) -> Iterator[RawRow | BadRow]:
    """Rows below a header, every cell a text; an empty cell is as good as none.

    Raises: BadData where there is no header, or one name stands in it twice.
    """
    records = _records(path)
    names = _header(path, records)
    for record in records:
        if isinstance(record.cells, str):
            yield BadRow(path, record.line, "cells", record.cells)
        elif len(record.cells) != len(names):
            yield BadRow(path, record.line, "cells", f"{len(record.cells)} cells under the {len(names)} names of the header")
        elif not is_encodable(record.text):
            yield BadRow(path, record.line, "cells", "a cell is not in UTF-8")
        else:
            yield RawRow(record.line, {name: cell or None for name, cell in zip(names, record.cells, strict=True)})


def copy_csv(path: Path, target: Path, keep: Keep) -> None:
    """The header and the rows that are kept, letter for letter."""
    records = _records(path)
    with target.open("w", encoding="utf-8", errors=_KEEP_BYTES, newline="") as copy:
        for number, record in enumerate(records):
            if number == 0 or keep(record.line):
                copy.write(record.text if record.text.endswith("\n") else record.text + "\n")


@dataclass(frozen=True, slots=True)
class _Element:
    """An element of a JSON list."""

    number: int
    """From 1."""
    value: Any
    text: str
    """As it is written."""


def _is_list(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4096).removeprefix(_BOM).lstrip().startswith(b"[")


def _elements(path: Path) -> Iterator[_Element]:
    """The elements of a JSON list without ever holding more than one of them and the letters of a chunk."""
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, (value, text) in enumerate(_decoded(_Window(file)), start=1):
                yield _Element(number, value, text)
    except (ValueError, RecursionError) as error:
        raise BadData(
            f"data file {path} is not JSON after element {number} ({error}): mend it, or write one row a line into a .jsonl file"
        ) from error


def _decoded(window: _Window) -> Iterator[tuple[Any, str]]:
    """The elements of a list and their texts."""
    window.skip("[")
    is_first = True
    while not window.skip("]"):
        if not is_first and not window.skip(","):
            raise ValueError("',' or ']' is missing")
        yield window.decode()
        is_first = False
    if not window.is_at_end():
        raise ValueError("there is more behind its ']'")


class _Window:
    """The part of an open file that is being decoded."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._place = 0

    def skip(self, letter: str) -> bool:
        """Go past white space, and past this letter if it follows."""
        if self._next() != letter:
            return False
        self._place += 1
        return True

    def is_at_end(self) -> bool:
        return self._next() == ""

    def decode(self) -> tuple[Any, str]:
        """The value that follows, and its text. What cannot be decoded is tried again with twice as many letters."""
        self._next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._place)
            except (ValueError, RecursionError):
                if not self._grow():
                    raise
                continue
            if len(self._text) - end < _LOOK_AHEAD and self._grow():  # 1 may be the beginning of 1e+2
                continue
            text, self._place = self._text[self._place : end], end
            return value, text

    def _next(self) -> str:
        """The first letter that is not white space, without going past it; none at the end of the file."""
        while True:
            while self._place < len(self._text) and self._text[self._place] in " \t\r\n":
                self._place += 1
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._grow():
                return ""

    def _grow(self) -> bool:
        """Read on and drop what is decoded; False, and nothing is dropped, where there is no more."""
        more = self._file.read(max(_CHUNK, len(self._text) - self._place))
        if more:
            self._text, self._place = self._text[self._place :] + more, 0
        return bool(more)


@dataclass(frozen=True, slots=True)
class _Record:
    """A record of a CSV file, which may have several lines."""

    line: int
    """The first of its lines."""
    cells: list[str] | str
    """Or why there are none."""
    text: str
    """As it is written."""


def _records(path: Path) -> Iterator[_Record]:
    """All records, the header among them; empty lines are none."""
    csv.field_size_limit(_LONGEST_CELL)
    with path.open(encoding="utf-8-sig", errors=_KEEP_BYTES, newline="") as file:
        read: list[str] = []
        reader = csv.reader(_remembered(file, read), strict=True)
        line = 1
        while True:
            read.clear()
            try:
                cells: list[str] | str = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                cells = str(error)
            if cells:
                yield _Record(line, cells, "".join(read))
            line += len(read)


def _remembered(lines: Iterable[str], read: list[str]) -> Iterator[str]:
    """The lines, each also put into a list when it is read."""
    for line in lines:
        read.append(line)
        yield line


def _header(path: Path, records: Iterator[_Record]) -> list[str]:
    first = next(records, None)
    if first is None or isinstance(first.cells, str):
        raise BadData(f"data file {path} has no header: write the names of the columns into its first line")
    twice = [name for name in first.cells if first.cells.count(name) > 1]
    if twice:
        raise BadData(f"data file {path} names the column {twice[0]!r} twice in its header: rename one")
    return first.cells
