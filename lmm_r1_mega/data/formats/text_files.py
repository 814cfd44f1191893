"""Rows of JSON Lines and CSV files, one by one."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lmm_r1_mega.data.formats.rows import BadRow, RawRow, is_encodable
from lmm_r1_mega.errors import BadData

_BOM = b"\xef\xbb\xbf"
_DECODER = json.JSONDecoder()
_LONGEST_CELL = 2**27  # room for images as data: URIs
_KEEP_BYTES = "surrogateescape"  # what is not UTF-8 is seen in the row that has it


def read_lines(path: Path) -> Iterator[RawRow | BadRow]:
    """One JSON value per line; empty lines are none."""
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


def read_csv(path: Path) -> Iterator[RawRow | BadRow]:
    """Rows below a header, every cell a text; an empty cell is as good as none.

    Raises: BadData if there is no header, or one name stands in it twice.
    """
    records = _records(path)
    names = _header(path, records)
    for record in records:
        if isinstance(record.cells, str):
            yield BadRow(path, record.line, "cells", record.cells)
        elif len(record.cells) != len(names):
            yield BadRow(path, record.line, "cells", f"{len(record.cells)} cells under the {len(names)} names of the header")
        elif not all(map(is_encodable, record.cells)):
            yield BadRow(path, record.line, "cells", "a cell is not in UTF-8")
        else:
            yield RawRow(record.line, {name: cell or None for name, cell in zip(names, record.cells, strict=True)})


@dataclass(frozen=True, slots=True)
class _CsvRecord:
    """A record of a CSV file, which may have several lines."""

    line: int
    """The first of its lines."""
    cells: list[str] | str
    """Or why there are none."""


def _records(path: Path) -> Iterator[_CsvRecord]:
    """All records, the header among them; empty lines are none."""
    csv.field_size_limit(_LONGEST_CELL)
    with path.open(encoding="utf-8-sig", errors=_KEEP_BYTES, newline="") as file:
        reader = csv.reader(file, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells: list[str] | str = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                cells = str(error)
            if cells:
                yield _CsvRecord(line, cells)


def _header(path: Path, records: Iterator[_CsvRecord]) -> list[str]:
    first = next(records, None)
    if first is None or isinstance(first.cells, str):
        raise BadData(f"data file {path} has no header: write the names of the columns into its first line")
    repeated = [name for name in first.cells if first.cells.count(name) > 1]
    if repeated:
        raise BadData(f"data file {path} names the column {repeated[0]!r} twice in its header: rename one")
    return first.cells
