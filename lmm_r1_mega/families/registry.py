"""All model families by the `model_type` of their config.json, and the model that a folder holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmm_r1_mega.errors import BadData
from lmm_r1_mega.families.facts import FamilyFacts
from lmm_r1_mega.families.qwen2.facts import QWEN2
from lmm_r1_mega.families.qwen2_5_vl.facts import QWEN2_5_VL
from lmm_r1_mega.families.qwen2_vl.facts import QWEN2_VL
from lmm_r1_mega.families.qwen3.facts import QWEN3
from lmm_r1_mega.families.shape import ModelShape
from lmm_r1_mega.families.weights import TOWER, decoder_tensors

FAMILIES: dict[str, FamilyFacts] = {"qwen2": QWEN2, "qwen3": QWEN3, "qwen2_vl": QWEN2_VL, "qwen2_5_vl": QWEN2_5_VL}


def read_shape(folder: Path) -> ModelShape:
    """ModelShape of the Hugging Face folder `folder`; `ValueError` for an unknown family, `BadData` if it is damaged."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise ValueError(f"model.path {folder} has no config.json: give a Hugging Face folder")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadData(f"{path} is not JSON ({error}): copy it again from the model's own folder") from None
    return parse_shape(config, source=str(path))


def parse_shape(config: Mapping[str, Any], *, source: str = "config.json") -> ModelShape:
    """ModelShape of a parsed config.json."""
    family = config.get("model_type")
    if family not in FAMILIES:
        known = ", ".join(f"{facts.name} ({name})" for name, facts in FAMILIES.items())
        raise ValueError(f"{source}: model_type {family!r} is not supported: there are {known}")
    try:
        return FAMILIES[family].read(config)
    except KeyError as missing:
        raise ValueError(f"{source} lacks {missing}: take the config.json that was published with the weights") from None


def hf_tensors(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the checkpoint, in the order of the forward pass."""
    tower_tensors = FAMILIES[shape.family].tower_tensors
    tower = tower_tensors(shape.vision) if tower_tensors and shape.vision else {}
    return {f"{TOWER}{name}": dims for name, dims in tower.items()} | decoder_tensors(shape)
