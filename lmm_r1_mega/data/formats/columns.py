"""The kinds of files that rows come from, and which of them a path means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from lmm_r1_mega.data.formats.arrow_files import arrow_batches, copy_tables, folder_batches, parquet_batches, read_tables
from lmm_r1_mega.data.formats.hub import PREFIX, hub_batches, is_hub_name
from lmm_r1_mega.data.formats.json_list import copy_list, is_list, read_list
from lmm_r1_mega.data.formats.rows import BadRow, Change, Keep, RawRow
from lmm_r1_mega.data.formats.text_files import copy_csv, copy_lines, read_csv, read_lines


class CopyImage(Protocol):
    """Copies some rows of a file."""

    def __call__(self, path: Path, target: Path, keep: Keep, *, change: Change | None = None) -> None: ...


@dataclass(frozen=True)
class Format:
    """How the rows of a kind of file are read, and how some of them are copied."""

    read: Callable[[Path], Iterator[RawRow | BadRow]]
    copy: CopyImage
    """From a file to a new one: the rows whose line is kept, in their order, and unchanged unless a change is given."""
    copy_suffix: str
    """What the new file is."""
    unit: str
    """What the rows' numbers count."""


def _tables(batches: Callable[..., Iterator]) -> Format:
    return Format(partial(read_tables, batches=batches), partial(copy_tables, batches=batches), ".parquet", "row")


_LINES = Format(read_lines, copy_lines, ".jsonl", "line")
_JSON_LINES = replace(_LINES, copy_suffix=".json")
FORMATS = {
    ".jsonl": _LINES,
    ".ndjson": _LINES,
    ".json": Format(read_list, copy_list, ".json", "element"),
    ".csv": Format(read_csv, copy_csv, ".csv", "line"),
    ".parquet": _tables(parquet_batches),
    ".arrow": _tables(arrow_batches),
}
"""By suffix; a .json file that is no list has one object a line."""
_FOLDER, _HUB = _tables(folder_batches), _tables(hub_batches)


def format_of(path: Path) -> Format:
    """The format of a file, of a folder that `datasets` saved, or of a hub name.

    Raises: ValueError where there is nothing, or nothing known.
    """
    if is_hub_name(path):
        return _HUB
    if path.is_dir():
        return _FOLDER
    if not path.is_file():
        raise ValueError(f"data file {path} does not exist: check the paths in data.train and data.eval")
    if path.suffix not in FORMATS:
        raise ValueError(f"data file {path} is of an unknown kind: name it {', '.join(FORMATS)}")
    if path.suffix == ".json" and not is_list(path):
        return _JSON_LINES
    return FORMATS[path.suffix]


def set_name(path: Path) -> str:
    """What the ids of a file's rows begin with: its name without the suffix, or the hub's name."""
    return str(path).removeprefix(PREFIX) if is_hub_name(path) else path.stem
