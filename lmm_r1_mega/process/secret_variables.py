"""Tokens and keys in the environment: which variables hold them, who does not get them, and texts without them."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping

_NAME = re.compile(r"(TOKEN|KEY|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|AUTH)S?(_|$)", re.IGNORECASE)
_SHORTEST = 8
"""Letters of a piece that is taken out of texts: shorter ones are words that stand there for other reasons."""


def is_secret(name: str) -> bool:
    """Whether a variable holds a secret, by its name.

    Example: WANDB_API_KEY and HF_TOKEN do, TOKENIZERS_PARALLELISM does not
    """
    return _NAME.search(name) is not None


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for code that is not ours."""
    return {name: value for name, value in environment.items() if not is_secret(name)}


def redacted(text: str, environment: Mapping[str, str]) -> str:
    """The text with `[NAME]` for the value of each secret variable, for its lines and words too: libraries quote them apart.

    So for what basic authentication makes of them, which is base64 with a user's name before and perhaps more behind.
    """
    pieces = {
        spelling: name
        for name, value in environment.items()
        if is_secret(name)
        for piece in re.split(r"[^!-~]+", value)
        if len(piece) >= _SHORTEST
        for spelling in (piece, *_in_base64(piece))
    }
    for spelling in sorted(pieces, key=len, reverse=True):
        text = text.replace(spelling, f"[{pieces[spelling]}]")
    return text


def _in_base64(piece: str) -> Iterator[str]:
    """The letters that only depend on the piece, wherever it stands in what is encoded: with 0, 1 or 2 bytes before it."""
    for offset in range(3):
        num_bytes = offset + len(piece)
        encoded = b64encode(bytes(offset) + piece.encode()).decode()
        yield encoded[(0, 2, 3)[offset] : num_bytes * 8 // 6]
