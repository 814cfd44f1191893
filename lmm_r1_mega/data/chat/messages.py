"""Chat turns out of the `message` column: strings and parts, OpenAI's spelling and the Hugging Face one."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lmm_r1_mega.data.formats.rows import RowRefused, is_encodable

PLACEHOLDER = "<image>"
"""Stands for an image of a column in a text."""
IMAGE_COLUMNS = ("images", "image", "image_path", "image_paths", "image_url", "image_urls", "picture", "pictures")
"""Columns that hold images in public data."""

_ROLES = ("system", "user", "assistant")
_Position = tuple[int, int]  # turn and part, from 1


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a chat."""

    role: str
    parts: tuple[str | None, ...]
    """Texts, and None for every image; neighbouring texts are one."""

    @property
    def num_images(self) -> int:
        return self.parts.count(None)

    @property
    def text(self) -> str:
        """All texts, images left out."""
        return "".join(part for part in self.parts if part is not None)


@dataclass(frozen=True, slots=True)
class Chat:
    """Turns and the references of their images, in the order of their places."""

    turns: tuple[Turn, ...]
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Image:
    reference: str


def parse_chat(message: Any) -> Chat:
    """Read a list of `{role, content}`, or that list as a JSON string.

    Raises: RowRefused(`message`) if it is anything else, with the turn and the part.
    """
    entries = _decoded(message)
    if not isinstance(entries, list) or not entries:
        raise RowRefused("message", f"the message must be a list of turns, got {_described(entries)}")
    turns: list[Turn] = []
    images: list[str] = []
    for number, entry in enumerate(entries, start=1):
        turn, references = _parse_turn(entry, number)
        if turn.role == "system" and number > 1:
            raise RowRefused("message", f"turn {number} is the system's: only the first may be")
        if turn.role == "assistant" and references:
            raise RowRefused("message", f"turn {number} is the assistant's and has an image: only questions may have images")
        turns.append(turn)
        images += references
    return Chat(tuple(turns), tuple(images))


def with_columns(chat: Chat, row: Mapping[str, Any]) -> Chat:
    """The chat with the images of a row's other columns, each in its place `<image>`.

    Example: "<image>Find x." beside images ["a.png"] -> an image and "Find x."

    Raises: RowRefused(`image`) if an image has no place, a place has no image, or the message has images of its own.
    """
    columns = {name: references for name in IMAGE_COLUMNS if (references := _column(row.get(name), name))}
    num_positions = sum(turn.text.count(PLACEHOLDER) for turn in chat.turns if turn.role != "assistant")
    if chat.images and num_positions:
        raise RowRefused("image", f"the message has images as parts and {PLACEHOLDER} in its text: take {PLACEHOLDER} out of the text")
    if chat.images and all(references == list(chat.images) for references in columns.values()):
        return chat
    if chat.images or len(columns) > 1:
        holders = [*(["the message"] if chat.images else []), *(f"column {name}" for name in columns)]
        raise RowRefused("image", f"images stand in {' and in '.join(holders)}: keep those of one place")
    name, images = next(iter(columns.items()), ("", []))
    if len(images) != num_positions:
        column = f"column {name} has {len(images)}" if name else f"the row has none in {' or '.join(IMAGE_COLUMNS[:2])}"
        raise RowRefused("image", f"the message has {num_positions} places {PLACEHOLDER} for images, {column}: give each image its place")
    return Chat(tuple(map(_with_images, chat.turns)), tuple(images)) if images else chat


def map_references(row: Mapping[str, Any], message_key: str, change: Callable[[str], str]) -> dict[str, Any]:
    """The row with each reference to an image changed, in the message and in other columns; what is no reference stays."""
    changed = {name: _map_column(row[name], change) for name in IMAGE_COLUMNS if row.get(name)}
    message = row[message_key]
    turns = json.loads(message) if isinstance(message, str) else message
    moved = _map_turns(turns, change)
    if moved != turns:
        changed[message_key] = json.dumps(moved, ensure_ascii=False) if isinstance(message, str) else moved
    return {**row, **changed}


def _map_turns(turns: Any, change: Callable[[str], str]) -> Any:
    def map_part(part: Any) -> Any:
        kind = part.get("type") if isinstance(part, dict) else None
        return {**part, kind: _map_reference(part.get(kind), change)} if kind in ("image", "image_url") else part

    def map_turn(turn: dict[str, Any]) -> dict[str, Any]:
        content = turn.get("content")
        return {**turn, "content": [map_part(part) for part in content]} if isinstance(content, list) else turn

    return [map_turn(turn) for turn in turns]


def _map_column(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str) and value.startswith("["):
        return json.dumps(_map_column(json.loads(value), change), ensure_ascii=False)
    return [_map_reference(entry, change) for entry in value] if isinstance(value, list) else _map_reference(value, change)


def _map_reference(value: Any, change: Callable[[str], str]) -> Any:
    """The inverse of `_reference` around a change: bytes, which are read even if there is a path beside them, become a `data:` URI."""
    if isinstance(value, str):
        return change(value)
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("bytes"), bytes):
        return _reference(value)
    key = "url" if value.get("url") else "path"
    return {**value, key: change(value[key])} if isinstance(value.get(key), str) else value


def _column(value: Any, name: str) -> list[str]:
    """The references of a column: one or a list, which a CSV file has as JSON."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise RowRefused("image", f"column {name} is no list of images: {error}") from error
    entries = [_reference(entry) for entry in (value if isinstance(value, list) else [value])]
    references = [entry for entry in entries if entry not in (None, "")]
    if not all(isinstance(reference, str) for reference in references) or (references and len(references) < len(entries)):
        raise RowRefused("image", f"column {name} has {_described(value)}, which is no image: give paths, file:// or data: URIs")
    return references


def _with_images(turn: Turn) -> Turn:
    """Example: "a<image>b" -> "a", an image, "b" """
    if turn.role == "assistant":
        return turn
    pieces: list[str | None] = []
    for number, text in enumerate(turn.text.split(PLACEHOLDER)):
        pieces += [None] if number else []
        pieces += [text] if text else []
    return Turn(turn.role, tuple(pieces))


def _decoded(message: Any) -> Any:
    if not isinstance(message, str):
        return message
    try:
        return json.loads(message)
    except (ValueError, RecursionError) as error:
        raise RowRefused("message", f"the message is a string that is not JSON: {error}") from error


def _parse_turn(entry: Any, number: int) -> tuple[Turn, list[str]]:
    """A turn and the references of its images."""
    if not isinstance(entry, dict):
        raise RowRefused("message", f"turn {number} must be an object with role and content, got {_described(entry)}")
    role, content = entry.get("role"), entry.get("content")
    if role not in _ROLES:
        raise RowRefused("message", f"turn {number} has the role {role!r}: use one of {', '.join(_ROLES)}")
    parts = content if isinstance(content, list) else [content]
    pieces = [_parse_part(part, (number, part_number)) for part_number, part in enumerate(parts, start=1)]
    turn = Turn(role, _joined(pieces))
    if None not in turn.parts and not turn.text.strip():
        raise RowRefused("message", f"turn {number} ({role}) is empty")
    return turn, [piece.reference for piece in pieces if isinstance(piece, _Image)]


def _parse_part(part: Any, position: _Position) -> str | _Image:
    if isinstance(part, str):
        return _clean(part, position)
    if not isinstance(part, dict):
        raise RowRefused("message", f"{_named(position)} must be a text or an object with type, got {_described(part)}")
    kind = part.get("type")
    if kind == "text":
        return _clean(part.get("text"), position)
    if kind not in ("image", "image_url"):
        raise RowRefused("message", f"{_named(position)} has the type {kind!r}: use text, image or image_url")
    value = part.get(kind)
    reference = _reference(value)
    if not isinstance(reference, str):
        raise RowRefused(
            "message", f"{_named(position)} has no image: give a path, file:// or data: URI as {kind!r}, got {_described(value)}"
        )
    return _Image(reference)


def _reference(value: Any) -> Any:
    """Where an image is: OpenAI writes `{"url": ...}`, the library `datasets` `{"bytes": ..., "path": ...}`, of which one may be null."""
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("bytes"), bytes):
        return f"data:image/any;base64,{base64.b64encode(value['bytes']).decode()}"
    return value.get("url") or value.get("path")


def _clean(text: Any, position: _Position) -> str:
    if not isinstance(text, str):
        raise RowRefused("message", f"{_named(position)} must be a text, got {_described(text)}")
    if not is_encodable(text):
        raise RowRefused("message", f"{_named(position)} has half of a surrogate pair, which is no letter")
    return text


def _named(position: _Position) -> str:
    return f"turn {position[0]}, part {position[1]}"


def _joined(pieces: list[str | _Image]) -> tuple[str | None, ...]:
    """Neighbouring texts become one, so that no special token hides on their border."""
    if len(pieces) == 1 and isinstance(pieces[0], str):  # nearly all turns
        return (pieces[0],)
    parts: list[str | None] = []
    for piece in pieces:
        if isinstance(piece, str) and parts and parts[-1] is not None:
            parts[-1] += piece
        else:
            parts.append(piece if isinstance(piece, str) else None)
    return tuple(parts)


def _described(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:60] + '...'}"
