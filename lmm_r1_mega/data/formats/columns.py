"""The kinds of files that rows come from, and which of them a path means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lmm_r1_mega.data.formats.arrow_files import arrow_batches, folder_batches, parquet_batches, read_tables
from lmm_r1_mega.data.formats.hub import PREFIX, hub_batches, is_hub_name
from lmm_r1_mega.data.formats.json_list import is_list, read_list
from lmm_r1_mega.data.formats.rows import BadRow, RawRow
from lmm_r1_mega.data.formats.text_files import read_csv, read_lines


@dataclass(frozen=True)
class Format:
    """How the rows of a kind of file are read."""

    read: Callable[[Path], Iterator[RawRow | BadRow]]
    unit: str
    """What the rows' numbers count."""


def _tables(batches: Callable[..., Iterator]) -> Format:
    return Format(partial(read_tables, batches=batches), "row")


_LINES = Format(read_lines, "line")
FORMATS = {
    ".jsonl": _LINES,
    ".ndjson": _LINES,
    ".json": Format(read_list, "element"),
    ".csv": Format(read_csv, "line"),
    ".parquet": _tables(parquet_batches),
    ".arrow": _tables(arrow_batches),
}
"""By suffix; a .json file that is no list has one object per line."""
_FOLDER, _HUB = _tables(folder_batches), _tables(hub_batches)


def format_of(path: Path) -> Format:
    """The format of a file, of a folder that `datasets` saved, or of a hub name.

    Raises: ValueError if there is nothing, or nothing known.
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
        return _LINES
    return FORMATS[path.suffix]


def set_name(path: Path) -> str:
    """What the ids of a file's rows begin with: its name without the suffix, or the hub's name."""
    return str(path).removeprefix(PREFIX) if is_hub_name(path) else path.stem
