"""Qwen2-VL: Qwen2.5-VL's decoder and positions behind a vision encoder with LayerNorms, a plain feed-forward network and no windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmm_r1_mega.families.facts import FamilyFacts
from lmm_r1_mega.families.shape import ModelShape, VisionShape, mrope_shape
from lmm_r1_mega.families.weights import layer_norm, linear


def read(config: Mapping[str, Any]) -> ModelShape:
    """The shape from config.json of transformers 5 (`text_config`) or 4 (flat)."""
    return mrope_shape(config, _vision(config["vision_config"]))


def _vision(vision: Mapping[str, Any]) -> VisionShape:
    """`embed_dim` is the encoder's width here and `hidden_size` that of its output."""
    return VisionShape(
        depth=vision["depth"],
        hidden_size=vision["embed_dim"],
        ffn_size=int(vision["embed_dim"] * vision.get("mlp_ratio", 4)),
        num_heads=vision["num_heads"],
        out_hidden_size=vision["hidden_size"],
        in_channels=vision.get("in_channels", vision.get("in_chans", 3)),
        patch_size=vision.get("patch_size", 14),
        temporal_patch_size=vision.get("temporal_patch_size", 2),
        merge_size=vision.get("spatial_merge_size", 2),
        full_attention_blocks=tuple(range(vision["depth"])),
        is_gated=False,
    )


def tower_tensors(vision: VisionShape) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the vision encoder."""
    hidden, ffn = vision.hidden_size, vision.ffn_size
    merged = hidden * vision.merge_size**2
    block = {
        **layer_norm("norm1", hidden),
        **layer_norm("norm2", hidden),
        **linear("attn.qkv", 3 * hidden, hidden),
        **linear("attn.proj", hidden, hidden),
        **linear("mlp.fc1", ffn, hidden),
        **linear("mlp.fc2", hidden, ffn),
    }
    patch = (hidden, vision.in_channels, vision.temporal_patch_size, vision.patch_size, vision.patch_size)
    tensors: dict[str, tuple[int, ...]] = {"patch_embed.proj.weight": patch}
    for index in range(vision.depth):
        tensors |= {f"blocks.{index}.{name}": dims for name, dims in block.items()}
    merger = linear("merger.mlp.0", merged, merged) | linear("merger.mlp.2", vision.out_hidden_size, merged)
    return tensors | layer_norm("merger.ln_q", hidden) | merger


QWEN2_VL = FamilyFacts(
    name="Qwen2-VL",
    read=read,
    vllm_class="vllm.model_executor.models.qwen2_vl:Qwen2VLForConditionalGeneration",
    tower_class="transformers.models.qwen2_vl.modeling_qwen2_vl:Qwen2VisionTransformerPretrainedModel",
    tower_tensors=tower_tensors,
)
