"""The JSON files of a Hugging Face model folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmm_r1_mega.errors import BadData


def read_settings(folder: Path, name: str) -> dict[str, Any]:
    """What a JSON file of the folder says; nothing if there is no such file.

    Raises: BadData if it holds anything but one object.
    """
    path = folder / name
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadData(f"model.path {folder}: {name} cannot be read ({error}): copy it again") from error
    if not isinstance(settings, dict):
        raise BadData(f"model.path {folder}: {name} is no JSON object: copy it again")
    return settings
