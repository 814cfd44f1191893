"""Chat turns out of the `message` column: strings and parts, OpenAI's spelling and the Hugging Face one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lmm_r1_mega.data.images import is_encodable
from lmm_r1_mega.data.rows import RowRefused

_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Chat:
    """Turns and the references of their images, in the order of their places."""

    turns: tuple[Turn, ...]
    images: tuple[str, ...]


@dataclass(frozen=True)
class _Image:
    reference: str


def parse_chat(message: Any) -> Chat:
    """Read a list of `{role, content}`, or that list as a JSON string.

    Raises: RowRefused(`message`) where it is anything else, with the place.
    """
    entries = _decoded(message)
    if not isinstance(entries, list) or not entries:
        raise RowRefused("message", f"the message must be a list of turns, got {_described(entries)}")
    turns, images = [], []
    for number, entry in enumerate(entries, start=1):
        role, pieces = _parse_turn(entry, number)
        turns.append(Turn(role, _joined(pieces)))
        images += [piece.reference for piece in pieces if isinstance(piece, _Image)]
        if role == "system" and number > 1:
            raise RowRefused("message", f"turn {number} is the system's: only the first may be")
        if role == "assistant" and turns[-1].num_images:
            raise RowRefused("message", f"turn {number} is the assistant's and has an image: only questions may have images")
    return Chat(tuple(turns), tuple(images))


def _decoded(message: Any) -> Any:
    if not isinstance(message, str):
        return message
    try:
        return json.loads(message)
    except (ValueError, RecursionError) as error:
        raise RowRefused("message", f"the message is a string that is not JSON: {error}") from error


def _parse_turn(entry: Any, number: int) -> tuple[str, list[str | _Image]]:
    if not isinstance(entry, dict):
        raise RowRefused("message", f"turn {number} must be an object with role and content, got {_described(entry)}")
    role, content = entry.get("role"), entry.get("content")
    if role not in _ROLES:
        raise RowRefused("message", f"turn {number} has the role {role!r}: use one of {', '.join(_ROLES)}")
    parts = content if isinstance(content, list) else [content]
    pieces = [_parse_part(part, f"turn {number}, part {place}") for place, part in enumerate(parts, start=1)]
    if not any(isinstance(piece, _Image) or piece.strip() for piece in pieces):
        raise RowRefused("message", f"turn {number} ({role}) is empty")
    return role, pieces


def _parse_part(part: Any, place: str) -> str | _Image:
    if isinstance(part, str):
        return _clean(part, place)
    if not isinstance(part, dict):
        raise RowRefused("message", f"{place} must be a text or an object with type, got {_described(part)}")
    kind = part.get("type")
    if kind == "text":
        return _clean(part.get("text"), place)
    if kind not in ("image", "image_url"):
        raise RowRefused("message", f"{place} has the type {kind!r}: use text, image or image_url")
    value = part.get(kind)
    reference = value.get("url") if isinstance(value, dict) else value
    if not isinstance(reference, str):
        raise RowRefused("message", f"{place} has no image: give a path, file:// or data: URI as {kind!r}, got {_described(value)}")
    return _Image(reference)


def _clean(text: Any, place: str) -> str:
    if not isinstance(text, str):
        raise RowRefused("message", f"{place} must be a text, got {_described(text)}")
    if not is_encodable(text):
        raise RowRefused("message", f"{place} has half of a surrogate pair, which is no letter")
    return text


def _joined(pieces: list[str | _Image]) -> tuple[str | None, ...]:
    """Neighbouring texts become one, so that no special token hides on their border."""
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
