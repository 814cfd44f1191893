"""Data sets of the Hugging Face hub by name: the only owner of `datasets`, which is an extra.

`hub:OWNER/NAME`, `hub:OWNER/NAME/CONFIGURATION`, either with `:SPLIT` behind it; the split is `train` if it is left out. A set that
is in the library's cache is read without a network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow

PREFIX = "hub:"
_WORD = r"\w[\w.-]*"
_NAME = re.compile(rf"hub:(?P<owner>{_WORD})/(?P<name>{_WORD})(?:/(?P<configuration>{_WORD}))?(?::(?P<split>{_WORD}))?")
_BATCH_ROWS = 64


@dataclass(frozen=True)
class HubName:
    """One split of a data set."""

    dataset: str
    """Owner and name."""
    configuration: str | None
    split: str


def is_hub_name(path: Path) -> bool:
    """Whether a path of the settings means a data set of the hub."""
    return str(path).startswith(PREFIX)


def parse_hub_name(path: Path) -> HubName:
    """Take a name apart.

    Example: hub:openai/gsm8k/main:test -> HubName("openai/gsm8k", "main", "test")

    Raises: ValueError if it is none.
    """
    match = _NAME.fullmatch(str(path))
    if match is None:
        raise ValueError(f"data set {path} is no name of the hub: write hub:OWNER/NAME, hub:OWNER/NAME/CONFIGURATION or either with :SPLIT")
    return HubName(f"{match['owner']}/{match['name']}", match["configuration"], match["split"] or "train")


def hub_batches(path: Path) -> Iterator[pyarrow.RecordBatch]:
    """All rows of a split, images as the bytes that are stored.

    Raises: ValueError if the library is missing, or cannot give the split.
    """
    name = parse_hub_name(path)
    try:
        from datasets import load_dataset  # an extra, and a second of imports
    except ImportError as error:
        raise ValueError(f"data set {path} needs the library datasets: install it with `pip install lmm-r1-mega[hub]`") from error
    try:
        rows = load_dataset(name.dataset, name.configuration, split=name.split)
    except Exception as error:  # the library raises what its file systems, readers and connections raise
        raise ValueError(
            f"data set {path} cannot be had ({type(error).__name__}: {error}): correct the name, configuration or split; "
            f"without a network it has to be in the cache of `datasets` (HF_HOME)"
        ) from error
    for table in rows.with_format("arrow").iter(batch_size=_BATCH_ROWS):
        yield from table.to_batches()
