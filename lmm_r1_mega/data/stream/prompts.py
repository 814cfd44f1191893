"""Rows of data files as questions with their gold answers, and the list of those that are none."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.chat.messages import Turn, parse_chat, with_columns
from lmm_r1_mega.data.formats.columns import format_of, set_name
from lmm_r1_mega.data.formats.rows import BadRow, RawRow, RowRefused, is_encodable

Purpose = Literal["prompts", "demonstrations", "any"]


@dataclass(frozen=True, slots=True)
class Record:
    """A valid row, not yet tokenized; its images are only named."""

    file: Path
    line: int
    id: str
    source: str
    turns: tuple[Turn, ...]
    """The question; its last turn is the user's."""
    images: tuple[str, ...]
    answer: str | int | float | None
    demonstration: str | None
    """The assistant's final turn, if the row has one."""

    def refused(self, kind: str, reason: str) -> BadRow:
        """This row as a bad one."""
        return BadRow(self.file, self.line, kind, reason)


def read_rows(path: Path, settings: DataSettings, *, purpose: Purpose) -> Iterator[Record | BadRow]:
    """Read and check every row of a file, in its order; images are not looked at.

    Prompts end with the user's turn, demonstrations with the assistant's. Of rows with the same id the first is good.

    Raises: ValueError if the file as a whole cannot be read.
    """
    name, form = set_name(path), format_of(path)
    lines: dict[str, int] = {}
    for raw in form.read(path):
        if isinstance(raw, BadRow):
            yield raw
            continue
        try:
            row = _parse_row(raw, settings, purpose, file=path, file_name=name)
            if lines.setdefault(row.id, row.line) != row.line:
                raise RowRefused("duplicate_id", f"id {row.id!r} is the one of {form.unit} {lines[row.id]}")
        except RowRefused as refusal:
            yield BadRow(path, raw.line, refusal.kind, str(refusal))
            continue
        yield row


def check_names(paths: Iterable[Path]) -> None:
    """Files are told apart by their names without suffix, which begin every id.

    Raises: ValueError if two files have the same.
    """
    seen: dict[str, Path] = {}
    for path in paths:
        name = set_name(path)
        if name in seen:
            raise ValueError(f"data files {seen[name]} and {path} have the same name, so their ids would be the same: rename one")
        seen[name] = path


def _parse_row(raw: RawRow, settings: DataSettings, purpose: Purpose, *, file: Path, file_name: str) -> Record:
    value = raw.value
    if not isinstance(value, dict):
        raise RowRefused("row", f"a row must be an object, got {type(value).__name__}")
    if value.get(settings.input_key) is None:
        raise RowRefused("row", f"no column {settings.input_key!r} (data.input_key); the row has {', '.join(map(str, value)) or 'nothing'}")
    chat = with_columns(parse_chat(value[settings.input_key]), value)
    turns, demonstration = _split(chat.turns, purpose)
    if settings.system_prompt is not None and turns[0].role != "system":
        turns = (Turn("system", (settings.system_prompt,)), *turns)
    own_id = _label(value, "id")
    return Record(
        file=file,
        line=raw.line,
        id=f"{file_name}:{raw.line - 1 if own_id is None else own_id}",
        source=_label(value, "datasource") or file_name,
        turns=turns,
        images=chat.images,
        answer=_answer(value.get(settings.label_key), settings.label_key),
        demonstration=demonstration,
    )


def _split(turns: tuple[Turn, ...], purpose: Purpose) -> tuple[tuple[Turn, ...], str | None]:
    """The question, and the assistant's final turn if there is one."""
    ends_with_answer = turns[-1].role == "assistant"
    if purpose == "prompts" and ends_with_answer:
        raise RowRefused(
            "message", "the last turn is the assistant's, but training by reward asks for one: drop it, or use the file for sft"
        )
    if purpose == "demonstrations" and not ends_with_answer:
        raise RowRefused(
            "message", f"the last turn is the {turns[-1].role}'s, but a demonstration ends with the assistant's: add the answer"
        )
    question = turns[:-1] if ends_with_answer else turns
    if not question or question[-1].role != "user":
        raise RowRefused("message", "there is no user's turn to answer")
    return question, turns[-1].text if ends_with_answer else None


def _label(value: dict[str, Any], key: str) -> str | None:
    """An optional short column, as text."""
    label = value.get(key)
    if label is None:
        return None
    if isinstance(label, bool) or not isinstance(label, str | int):
        raise RowRefused("row", f"{key} must be a string or an integer, got {type(label).__name__}")
    text = str(label)
    if not is_encodable(text):
        raise RowRefused("row", f"{key} has half of a surrogate pair, which is no letter")
    return text


def _as_json(value: list[Any] | dict[str, Any], key: str) -> str:
    try:
        return json.dumps(value)
    except TypeError as error:
        raise RowRefused("answer", f"{key} is a {type(value).__name__} that cannot be written as JSON: {error}") from None


def _answer(value: Any, key: str) -> str | int | float | None:
    if isinstance(value, list | dict):  # boxes, which rewards read from text
        return _as_json(value, key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int | float)):
        raise RowRefused("answer", f"{key} must be a string, a number or a list, got {type(value).__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise RowRefused("answer", f"{key} is {value}, which is no number")
    if isinstance(value, str) and not is_encodable(value):
        raise RowRefused("answer", f"{key} has half of a surrogate pair, which is no letter")
    return value
