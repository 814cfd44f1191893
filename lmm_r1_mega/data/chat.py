"""Chat turns out of the `message` column: strings and parts, OpenAI's spelling and the Hugging Face one."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from lmm_r1_mega.data.images import is_encodable
from lmm_r1_mega.data.rows import RowRefused

_ROLES = ("system", "user", "assistant")
_Place = tuple[int, int]  # turn and part, from 1


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

    Raises: RowRefused(`message`) where it is anything else, with the place.
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
    pieces = [_parse_part(part, (number, place)) for place, part in enumerate(parts, start=1)]
    turn = Turn(role, _joined(pieces))
    if None not in turn.parts and not turn.text.strip():
        raise RowRefused("message", f"turn {number} ({role}) is empty")
    return turn, [piece.reference for piece in pieces if isinstance(piece, _Image)]


def _parse_part(part: Any, place: _Place) -> str | _Image:
    if isinstance(part, str):
        return _clean(part, place)
    if not isinstance(part, dict):
        raise RowRefused("message", f"{_named(place)} must be a text or an object with type, got {_described(part)}")
    kind = part.get("type")
    if kind == "text":
        return _clean(part.get("text"), place)
    if kind not in ("image", "image_url"):
        raise RowRefused("message", f"{_named(place)} has the type {kind!r}: use text, image or image_url")
    value = part.get(kind)
    reference = _reference(value)
    if not isinstance(reference, str):
        raise RowRefused("message", f"{_named(place)} has no image: give a path, file:// or data: URI as {kind!r}, got {_described(value)}")
    return _Image(reference)


def _reference(value: Any) -> Any:
    """Where an image is: OpenAI writes `{"url": ...}`, the library `datasets` `{"bytes": ..., "path": ...}`, of which one may be null."""
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("bytes"), bytes):
        return f"data:image/any;base64,{base64.b64encode(value['bytes']).decode()}"
    return value.get("url") or value.get("path")


def _clean(text: Any, place: _Place) -> str:
    if not isinstance(text, str):
        raise RowRefused("message", f"{_named(place)} must be a text, got {_described(text)}")
    if not is_encodable(text):
        raise RowRefused("message", f"{_named(place)} has half of a surrogate pair, which is no letter")
    return text


def _named(place: _Place) -> str:
    return f"turn {place[0]}, part {place[1]}"


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
