"""Rows of Parquet and Arrow files and of folders that the library `datasets` saved.

The only owner of pyarrow. A saved folder is Arrow files and a `state.json` that names them: `datasets` is not needed to read one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc
import pyarrow.parquet

from lmm_r1_mega.data.formats.rows import BadRow, RawRow
from lmm_r1_mega.errors import BadData

Batches = Iterator[pyarrow.RecordBatch]

_STATE, _SPLITS = "state.json", "dataset_dict.json"  # of a saved folder, and of a folder of saved folders
_FILE_MARK = b"ARROW1"
_MOST_ROWS, _MOST_BYTES = 1024, 2**23  # of a batch that is turned into Python objects at once


def parquet_batches(path: Path) -> Batches:
    """All rows of a Parquet file, a few megabytes at a time."""
    with pyarrow.parquet.ParquetFile(path) as table:
        groups = [table.metadata.row_group(number) for number in range(table.metadata.num_row_groups)]
        yield from table.iter_batches(batch_size=_num_rows(table.metadata.num_rows, sum(group.total_byte_size for group in groups)))


def arrow_batches(path: Path) -> Batches:
    """All rows of an Arrow file or an Arrow stream, which `datasets` writes under the same suffix."""
    with pyarrow.OSFile(str(path)) as source:
        is_file = source.read(len(_FILE_MARK)) == _FILE_MARK
        source.seek(0)
        if not is_file:
            yield from pyarrow.ipc.open_stream(source)
            return
        reader = pyarrow.ipc.open_file(source)
        yield from (reader.get_batch(number) for number in range(reader.num_record_batches))


def folder_batches(path: Path) -> Batches:
    """All rows of a folder that `save_to_disk` wrote.

    Raises: ValueError if the folder is no such one, or holds several splits.
    """
    if (path / _SPLITS).is_file():
        splits = ", ".join(str(path / name) for name in _decoded(path / _SPLITS, "splits"))
        raise ValueError(f"data folder {path} holds several splits: name one of {splits}")
    if not (path / _STATE).is_file():
        raise ValueError(f"data folder {path} has no {_STATE}: give a file of rows, or a folder written by save_to_disk of `datasets`")
    for file in _decoded(path / _STATE, "_data_files"):
        yield from arrow_batches(path / Path(file["filename"]).name)


def read_tables(path: Path, batches: Callable[[Path], Batches]) -> Iterator[RawRow | BadRow]:
    """The rows of all batches, numbered from 1.

    Raises: BadData if the bytes are not what they should be.
    """
    values = (value for batch in _readable(path, batches) for part in _slices(batch) for value in _values(part))
    for number, value in enumerate(values, start=1):
        if isinstance(value, UnicodeDecodeError):
            yield BadRow(path, number, "cells", f"a text is not in UTF-8: {value}")
        else:
            yield RawRow(number, value)


def _readable(path: Path, batches: Callable[[Path], Batches]) -> Batches:
    """The batches, with the errors of a file that is broken or of another kind."""
    num_rows = 0
    try:
        for batch in batches(path):
            yield batch
            num_rows += batch.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        kind = "Parquet" if batches is parquet_batches else "Arrow"
        raise BadData(f"data file {path} is not readable as {kind} after row {num_rows} ({error}): write it again") from error


def _decoded(file: Path, key: str) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))[key]
    except (ValueError, KeyError) as error:
        raise BadData(f"data folder {file.parent} has a {file.name} without {key} ({error}): save it again") from error


def _num_rows(num_rows: int, num_bytes: int) -> int:
    """Rows of this size that make a batch: images may be megabytes."""
    return max(1, min(_MOST_ROWS, _MOST_BYTES * num_rows // max(1, num_bytes)))


def _slices(batch: pyarrow.RecordBatch) -> Batches:
    size = _num_rows(batch.num_rows, batch.nbytes)
    return (batch.slice(start, size) for start in range(0, batch.num_rows, size))


def _values(batch: pyarrow.RecordBatch) -> list[dict[str, Any] | UnicodeDecodeError]:
    """Rows as Python objects; one whose texts cannot be decoded is its error."""
    try:
        return batch.to_pylist()
    except UnicodeDecodeError as error:
        return [error] if batch.num_rows == 1 else [value for row in range(batch.num_rows) for value in _values(batch.slice(row, 1))]
