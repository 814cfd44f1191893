"""Rows of data files as they are written, and the rows that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet
from pyarrow import ArrowException

from lmm_r1_mega.errors import BadData

FIXES = {
    "json": "write one JSON object a line, in UTF-8",
    "row": "write an object with the columns that data.input_key and data.label_key name",
    "message": 'write turns as [{"role": "user", "content": text or parts}]; end with the user (reward training) or the assistant (sft)',
    "image": "give a readable still picture inside the data file's folder or data.image_roots",
    "answer": "write the gold answer as a string, a number or a list",
    "special_token": "take the token's spelling out of the text, or write images as parts",
    "template": "look at the model's chat template: it must write one image token an image and end a turn with the end-of-turn token",
    "too_long": "shorten the row, lower data.max_pixels, or raise data.max_prompt_tokens (sft: layout.row_tokens)",
    "duplicate_id": "give every row of a file its own id, or none",
}
"""Kinds of bad rows and what mends them."""


class RowRefused(ValueError):
    """A row that cannot be used; `kind` is a key of FIXES."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class BadRow:
    """A row that was left out."""

    file: Path
    line: int
    """Line of a JSON Lines file, or number of the row, from 1."""
    kind: str
    """Key of FIXES."""
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {self.reason}"


@dataclass(frozen=True)
class RawRow:
    """A row before anything is known about it."""

    line: int
    value: Any


def read_rows(path: Path) -> Iterator[RawRow | BadRow]:
    """Rows of a JSON Lines (.jsonl, .ndjson), JSON (.json: a list of rows, or lines) or Parquet file, one by one.

    Raises: ValueError where the file is missing or of another kind, BadData where it is not readable at all.
    """
    if not path.is_file():
        raise ValueError(f"data file {path} does not exist: check the paths in data.train and data.eval")
    if path.suffix == ".parquet":
        return _parquet_rows(path)
    if path.suffix in (".jsonl", ".ndjson"):
        return _json_lines(path)
    if path.suffix == ".json":
        return _json_list(path) if _starts_with_bracket(path) else _json_lines(path)
    raise ValueError(f"data file {path} is of an unknown kind: name it .jsonl, .json or .parquet")


def _json_lines(path: Path) -> Iterator[RawRow | BadRow]:
    with path.open("rb") as file:
        for line, encoded in enumerate(file, start=1):
            if not encoded.strip():
                continue
            try:
                value = json.loads(encoded.decode("utf-8-sig" if line == 1 else "utf-8"))
            except (ValueError, RecursionError) as error:
                yield BadRow(path, line, "json", f"not a JSON object: {error}")
                continue
            yield RawRow(line, value)


def _json_list(path: Path) -> Iterator[RawRow | BadRow]:
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadData(f"data file {path} is not JSON ({error}): mend it, or write one row a line into a .jsonl file") from error
    yield from (RawRow(line, value) for line, value in enumerate(values, start=1))


def _starts_with_bracket(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _parquet_rows(path: Path) -> Iterator[RawRow | BadRow]:
    line = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            values = (value for batch in table.iter_batches(batch_size=1024) for value in batch.to_pylist())
            for line, value in enumerate(values, start=1):
                yield RawRow(line, value)
    except (ArrowException, OSError) as error:
        raise BadData(f"data file {path} is not readable as Parquet after row {line} ({error}): write it again") from error
