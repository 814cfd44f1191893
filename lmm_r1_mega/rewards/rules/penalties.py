"""Penalties for the shape of a response: between -1 and 0, whatever it says."""

from __future__ import annotations

import re

PIECE = re.compile(r"[a-z]{1,16}|[0-9]{1,16}|\S")
"""A word, a number or a sign. Cut at 16 letters, so that `aaaa...` is the same word many times; a letter of a script without spaces is
a piece of its own."""


def overlong_penalty(num_tokens: int, *, free: int, limit: int) -> float:
    """0 for at most `free` response tokens, falling evenly to -1 at `limit` (DAPO, arXiv 2503.14476, eq. 13; limit - free is its L_cache).

    Example: free 100, limit 120: 0 for 100 tokens, -0.25 for 105, -1 for 120 and more.
    """
    return max(-1.0, min(0, free - num_tokens) / (limit - free))


def repetition_penalty(text: str, *, ngram: int) -> float:
    """Minus the share of n-grams that occurred before; 0 for a text of fewer than n pieces.

    Example: n 2 and "a b a b a": the pairs are ab, ba, ab, ba, two of four repeated: -0.5.
    """
    pieces = PIECE.findall(text.lower())
    total = len(pieces) - ngram + 1
    if total < 1:
        return 0.0
    return len(set(zip(*(pieces[start:] for start in range(ngram)), strict=False))) / total - 1.0
