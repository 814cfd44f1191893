"""Tokens and keys in the environment: which variables hold them, who does not get them, and texts without them."""

from __future__ import annotations

import re
from collections.abc import Mapping

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
    """The text with `[NAME]` for the value of each secret variable, for its lines and words too: libraries quote them apart."""
    pieces = {
        piece: name
        for name, value in environment.items()
        if is_secret(name)
        for piece in re.split(r"[^!-~]+", value)
        if len(piece) >= _SHORTEST
    }
    for piece in sorted(pieces, key=len, reverse=True):
        text = text.replace(piece, f"[{pieces[piece]}]")
    return text
