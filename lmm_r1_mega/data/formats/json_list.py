"""Rows out of one JSON list, one by one, whatever the file's size: the only owner of ijson (3.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ijson import JSONError, ObjectBuilder
from ijson.backends import yajl2_c  # the one in Python is ten times slower, and keeps the whole file if its strings are long

from lmm_r1_mega.data.formats.rows import BROKEN_LIST, BadRow, RawRow

_BOM = b"\xef\xbb\xbf"
_CHUNK_BYTES = 2**16  # read and parsed at a time
_MAX_DEPTH = 500  # half of Python's recursion limit
_LEVELS = {"start_map": 1, "start_array": 1, "end_map": -1, "end_array": -1}
_LONGEST_REASON = 200

_WHOLE_ESCAPES = re.compile(rb".*[^\\][^\\u0-9a-fA-F]", re.DOTALL)  # up to a byte that is in none
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(rb"(\\u[dD][89abAB]..\\u[dD][c-fC-F]|\\[^u]|\\u[^dD]|\\u[dD][0-7])|\\u", re.DOTALL)  # a whole one, or half a pair


def is_list(path: Path) -> bool:
    """Whether a file begins as a JSON list does."""
    with path.open("rb") as file:
        return file.read(4096).removeprefix(_BOM).lstrip().startswith(b"[")


def read_list(path: Path) -> Iterator[RawRow | BadRow]:
    """The elements of a list. What is behind a mistake in its syntax is no list any more: there the reading ends with a bad row."""
    number = 0
    with path.open("rb") as file:
        events = yajl2_c.basic_parse(_WithoutHalfPairs(file), buf_size=_CHUNK_BYTES, use_float=True)
        try:
            for number, value in enumerate(_elements(events), start=1):
                yield RawRow(number, value)
        except (JSONError, ValueError) as error:
            reason = f"{_reason(error)}: what is before it was read ({number} elements), nothing behind it"
            yield BadRow(path, number + 1, BROKEN_LIST, reason)


def _elements(events: Iterator[tuple[str, Any]]) -> Iterator[Any]:
    """The values inside the outermost list. ijson's own `items` would name every level by all those above it: gigabytes for `[[[[...`.

    Raises: ValueError if one is nested too deeply for whoever goes through it by recursion.
    """
    next(events)  # the list itself
    depth, builder = 0, ObjectBuilder()
    for event, value in events:
        depth += _LEVELS.get(event, 0)
        if depth > _MAX_DEPTH:
            raise ValueError(f"more than {_MAX_DEPTH} lists and objects in one another")
        if depth < 0:  # the list's own end; what comes behind it is an error
            continue
        builder.event(event, value)
        if not depth:
            yield builder.value


class _WithoutHalfPairs:
    r"""A file in which half of a surrogate pair, such as `\ud83d`, is a mistake of syntax: yajl would make a question mark of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._rest = file.read(len(_BOM)).removeprefix(_BOM)

    def read(self, size: int) -> bytes:
        """About as many bytes, of which no escape is cut; none at the end, and if none are asked for."""
        while chunk := self._file.read(size):
            text = self._rest + chunk
            if whole := _WHOLE_ESCAPES.match(text):
                self._rest = text[whole.end() :]
                return _spoil_half_pairs(whole[0])
            self._rest = text
        rest, self._rest = (self._rest, b"") if size else (b"", self._rest)
        return _spoil_half_pairs(rest)


def _spoil_half_pairs(text: bytes) -> bytes:
    if not _SURROGATE.search(text):
        return text
    return _ESCAPE.sub(lambda escape: escape[1] or rb"\x", text)


def _reason(error: Exception) -> str:
    """The parser's message, which may be bytes and has the text around the mistake in its second line."""
    message = error.args[0] if error.args else type(error).__name__
    lines = (message.decode(errors="replace") if isinstance(message, bytes) else str(message)).splitlines()
    nearby = f", near {lines[1].strip()!r}" if lines[1:] and lines[1].strip() else ""
    return lines[0].rstrip(".")[:_LONGEST_REASON] + nearby
