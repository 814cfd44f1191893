"""The dimensions of a Qwen2.5-VL, read from a Hugging Face `config.json` of either layout, without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmm_r1_mega.errors import BadData

FAMILY = "qwen2_5_vl"


@dataclass(frozen=True)
class VisionShape:
    """Dimensions of the vision tower."""

    depth: int
    hidden_size: int
    ffn_size: int
    num_heads: int
    out_hidden_size: int
    in_channels: int
    patch_size: int
    temporal_patch_size: int
    merge_size: int
    window_size: int
    full_attention_blocks: tuple[int, ...]

    @property
    def patch_features(self) -> int:
        """Numbers in one patch of `pixel_values`."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2


@dataclass(frozen=True)
class ModelShape:
    """Dimensions of the language model and the tower; all that conversion and planning have to know of a model."""

    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    ffn_size: int
    vocab_size: int
    max_positions: int
    norm_eps: float
    rope_theta: float
    mrope_section: tuple[int, int, int]
    tied: bool
    image_token_id: int
    vision: VisionShape

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_heads

    def padded_vocab(self, *, multiple: int, tensor: int) -> int:
        """Vocabulary size rounded up to `multiple * tensor`.

        Example: 151936 words, multiple 128, tensor 2 -> 152064
        """
        step = multiple * tensor
        return -(-self.vocab_size // step) * step


@dataclass(frozen=True)
class RewardShape:
    """What the memory of a reward model depends on."""

    num_parameters: int
    """Of what is kept: the output layer of a model with a value head is not."""
    hidden_size: int
    ffn_size: int
    vision: VisionShape | None
    """None where images are not seen."""


def read_shape(folder: Path) -> ModelShape:
    """ModelShape of the Hugging Face folder `folder`; `ValueError` where it is not a Qwen2.5-VL, `BadData` where it is damaged."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise ValueError(f"model.path {folder} has no config.json: give a Hugging Face folder")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadData(f"{path} is not JSON ({error}): copy it again from the model's own folder") from None
    return parse_shape(config, source=str(path))


def parse_shape(config: dict[str, Any], *, source: str = "config.json") -> ModelShape:
    """ModelShape of a parsed config: transformers 5 (`text_config`, `rope_parameters`) or 4 (flat, `rope_scaling`)."""
    if config.get("model_type") != FAMILY:
        raise ValueError(f"{source}: model_type {config.get('model_type')!r} is not supported: only {FAMILY!r} is")
    text = config.get("text_config") or config
    try:
        return _shape(config, text)
    except KeyError as missing:
        raise ValueError(f"{source} lacks {missing}: take the config.json that was published with the weights") from None


def is_tied(config: dict[str, Any]) -> bool:
    """Whether one matrix is embedding and output layer: by `tie_word_embeddings` at the top, or in `text_config` where it alone is true."""
    return bool(config.get("tie_word_embeddings") or config.get("text_config", {}).get("tie_word_embeddings"))


def _shape(config: dict[str, Any], text: dict[str, Any]) -> ModelShape:
    rope = text.get("rope_parameters") or text.get("rope_scaling") or config.get("rope_scaling") or {}
    if text.get("use_sliding_window"):
        raise ValueError("use_sliding_window true is not supported: set it to false in config.json")
    section = tuple(rope["mrope_section"])
    head_dim = text["hidden_size"] // text["num_attention_heads"]
    if 2 * sum(section) != head_dim:
        raise ValueError(f"mrope_section {list(section)} covers {2 * sum(section)} of {head_dim} head dimensions: it must cover all")
    return ModelShape(
        hidden_size=text["hidden_size"],
        num_layers=text["num_hidden_layers"],
        num_heads=text["num_attention_heads"],
        num_kv_heads=text["num_key_value_heads"],
        ffn_size=text["intermediate_size"],
        vocab_size=text["vocab_size"],
        max_positions=text["max_position_embeddings"],
        norm_eps=text["rms_norm_eps"],
        rope_theta=float(rope.get("rope_theta", text.get("rope_theta", 1e6))),
        mrope_section=section,
        tied=is_tied(config),
        image_token_id=config["image_token_id"],
        vision=_vision_shape(config["vision_config"], hidden_size=text["hidden_size"]),
    )


def _vision_shape(vision: dict[str, Any], *, hidden_size: int) -> VisionShape:
    return VisionShape(
        depth=vision["depth"],
        hidden_size=vision["hidden_size"],
        ffn_size=vision["intermediate_size"],
        num_heads=vision["num_heads"],
        out_hidden_size=vision.get("out_hidden_size", hidden_size),
        in_channels=vision.get("in_channels", vision.get("in_chans", 3)),
        patch_size=vision.get("patch_size", 14),
        temporal_patch_size=vision.get("temporal_patch_size", 2),
        merge_size=vision.get("spatial_merge_size", 2),
        window_size=vision.get("window_size", 112),
        full_attention_blocks=tuple(vision.get("fullatt_block_indexes", (7, 15, 23, 31))),
    )
