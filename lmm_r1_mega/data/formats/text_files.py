"""Rows of JSON Lines and CSV files, one by one, and copies of such files with some of the rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lmm_r1_mega.data.formats.rows import BadRow, Change, Keep, RawRow, is_encodable
from lmm_r1_mega.errors import BadData

_BOM = b"\xef\xbb\xbf"
_DECODER = json.JSONDecoder()
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


def copy_lines(path: Path, target: Path, keep: Keep, *, change: Change | None = None) -> None:
    """The lines that are kept, byte for byte unless a change makes others of them."""
    with path.open("rb") as source, target.open("wb") as copy:
        for line, encoded in enumerate(source, start=1):
            if encoded.strip() and keep(line):
                text = encoded if encoded.endswith(b"\n") else encoded + b"\n"
                copy.write(text if change is None else _changed(text, change))


def _changed(line: bytes, change: Change) -> bytes:
    value = _DECODER.decode(line.removeprefix(_BOM).strip().decode())
    changed = change(value)
    return line if changed == value else json.dumps(changed, ensure_ascii=False).encode() + b"\n"


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


def copy_csv(path: Path, target: Path, keep: Keep, *, change: Change | None = None) -> None:
    """The header and the rows that are kept, letter for letter unless a change makes others of them."""
    records = _records(path)
    names: list[str] = []
    with target.open("w", encoding="utf-8", errors=_KEEP_BYTES, newline="") as copy:
        for number, record in enumerate(records):
            names = names or list(record.cells)
            if number and not keep(record.line):
                continue
            value = {name: cell or None for name, cell in zip(names, record.cells, strict=False)}
            changed = change(value) if change and number else value
            if changed != value:
                csv.writer(copy, lineterminator="\n").writerow([changed[name] for name in names])
            else:
                copy.write(record.text if record.text.endswith("\n") else record.text + "\n")


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
