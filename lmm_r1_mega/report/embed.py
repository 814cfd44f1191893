"""Data as text of an HTML page."""

from __future__ import annotations

import json
from typing import Any


def embedded(value: Any) -> str:
    """JSON that may stand inside an HTML element: no `<` is left that could end it or open another."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def num_bytes(value: Any) -> int:
    """Of the value on a page."""
    return len(embedded(value).encode(errors="backslashreplace"))
