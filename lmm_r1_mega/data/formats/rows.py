"""Rows of data files as they are written, and the rows that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

BROKEN_LIST = "broken_list"
"""Kind of the bad row that ends the reading of a JSON list: of the rows behind it nothing is known."""

FIXES = {
    "json": "write one JSON object per line, in UTF-8",
    BROKEN_LIST: "fix the list at this place, or write one object per line into a .jsonl file, where a bad row costs no other",
    "cells": "give every row as many cells as the header has, quotes inside a cell doubled, in UTF-8",
    "row": "write an object with the columns that data.input_key and data.label_key name",
    "message": 'write turns as [{"role": "user", "content": text or parts}]; end with the user (reward training) or the assistant (sft)',
    "image": "give readable still images inside the data file's folder or data.image_roots, as parts or each at its <image>",
    "answer": "write the gold answer as a string, a number or a list",
    "special_token": "take the token's spelling out of the text, or write images as parts",
    "template": "look at the model's chat template: it must write one image token per image and end a turn with the end-of-turn token",
    "too_long": "shorten the row, lower data.max_pixels, or raise data.max_prompt_tokens (sft: layout.max_tokens_per_microbatch)",
    "duplicate_id": "give every row of a file its own id, or none",
}
"""Kinds of bad rows and the fix."""


class RowRefused(ValueError):
    """A row that cannot be used; `kind` is a key of FIXES."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out."""

    file: Path
    line: int
    """Line of a text file, else number of the element or row; from 1."""
    kind: str
    """Key of FIXES."""
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {self.reason}"


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row before anything is known about it."""

    line: int
    value: Any


def is_encodable(text: str) -> bool:
    """Whether the text is free of lone surrogates, which JSON can spell but no path or tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
