"""The dimensions of a model: all that conversion, planning and the decoder have to know of it, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class VisionShape:
    """Dimensions of a vision encoder of Qwen's kind."""

    depth: int
    hidden_size: int
    ffn_size: int
    num_heads: int
    out_hidden_size: int
    in_channels: int
    patch_size: int
    temporal_patch_size: int
    merge_size: int
    """Patches along one side of the square that becomes one image token."""
    full_attention_blocks: tuple[int, ...]
    """Blocks that attend over the whole image; the others stay inside windows."""
    window_size: int = 0
    """Pixels along one side of a window."""
    is_gated: bool = True
    """Whether the feed-forward network has a gate."""

    @property
    def patch_features(self) -> int:
        """Numbers in one patch of `pixel_values`."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2


@dataclass(frozen=True)
class ModelShape:
    """Dimensions of a decoder, and of the vision encoder of a model that has one."""

    family: str
    """`model_type` of its config.json."""
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    ffn_size: int
    vocab_size: int
    max_positions: int
    norm_eps: float
    rope_theta: float
    tied: bool
    """Whether one matrix is embedding and output layer."""
    has_qkv_bias: bool
    has_qk_norm: bool = False
    """Whether query and key of each head are normed."""
    mrope_section: tuple[int, int, int] | None = None
    """Rotary frequencies of the time, height and width axes; None for one axis."""
    image_token_id: int | None = None
    vision: VisionShape | None = None

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
    """None if images are not seen."""


def is_tied(config: Mapping[str, Any]) -> bool:
    """Whether one matrix is embedding and output layer: by `tie_word_embeddings` at the top, or in `text_config` if it is true there."""
    return bool(config.get("tie_word_embeddings") or config.get("text_config", {}).get("tie_word_embeddings"))


def rope_of(config: Mapping[str, Any], text: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings of the rotary embedding: transformers 5 (`rope_parameters`) or 4 (`rope_scaling`, inside or outside of `text_config`)."""
    return text.get("rope_parameters") or text.get("rope_scaling") or config.get("rope_scaling") or {}


def decoder_fields(config: Mapping[str, Any], text: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `ModelShape` that every family of Qwen's decoder reads alike. Raises: ValueError for a sliding window."""
    if text.get("use_sliding_window"):
        raise ValueError("use_sliding_window true is not supported: set it to false in config.json")
    return {
        "family": config["model_type"],
        "hidden_size": text["hidden_size"],
        "num_layers": text["num_hidden_layers"],
        "num_heads": text["num_attention_heads"],
        "num_kv_heads": text["num_key_value_heads"],
        "head_dim": text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"],
        "ffn_size": text["intermediate_size"],
        "vocab_size": text["vocab_size"],
        "max_positions": text["max_position_embeddings"],
        "norm_eps": text["rms_norm_eps"],
        "rope_theta": float(rope_of(config, text).get("rope_theta", text.get("rope_theta", 1e6))),
        "tied": is_tied(config),
    }


def plain_rope(config: Mapping[str, Any]) -> None:
    """Raises ValueError for a rotary embedding whose frequencies are scaled."""
    kind = rope_of(config, config).get("rope_type", rope_of(config, config).get("type", "default"))
    if kind != "default":
        raise ValueError(f"rope_type {kind} is not supported: only unscaled rotary embeddings are")


def mrope_section(config: Mapping[str, Any], text: Mapping[str, Any], *, head_dim: int) -> tuple[int, int, int]:
    """Frequencies of each axis. Raises: ValueError if they do not cover a head."""
    time, height, width = rope_of(config, text)["mrope_section"]
    covered = 2 * (time + height + width)
    if covered != head_dim:
        raise ValueError(f"mrope_section {[time, height, width]} covers {covered} of {head_dim} head dimensions: it must cover all")
    return time, height, width


def mrope_shape(config: Mapping[str, Any], vision: VisionShape) -> ModelShape:
    """The shape of a model with biases on query, key and value, M-RoPE and a vision encoder: config.json of transformers 5 or 4."""
    text = config.get("text_config") or config
    fields = decoder_fields(config, text)
    section = mrope_section(config, text, head_dim=fields["head_dim"])
    return ModelShape(**fields, has_qkv_bias=True, mrope_section=section, image_token_id=config["image_token_id"], vision=vision)
