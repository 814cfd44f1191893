"""Qwen2.5-VL: M-RoPE, and a vision encoder with windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmm_r1_mega.families.facts import FamilyFacts
from lmm_r1_mega.families.shape import ModelShape, VisionShape, mrope_shape
from lmm_r1_mega.families.weights import linear


def read(config: Mapping[str, Any]) -> ModelShape:
    """The shape from config.json of transformers 5 (`text_config`) or 4 (flat)."""
    return mrope_shape(config, _vision(config["vision_config"], hidden_size=(config.get("text_config") or config)["hidden_size"]))


def _vision(vision: Mapping[str, Any], *, hidden_size: int) -> VisionShape:
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
        full_attention_blocks=tuple(vision.get("fullatt_block_indexes", (7, 15, 23, 31))),
        window_size=vision.get("window_size", 112),
    )


def tower_tensors(vision: VisionShape) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the vision encoder."""
    hidden, ffn = vision.hidden_size, vision.ffn_size
    merged = hidden * vision.merge_size**2
    block = {
        "norm1.weight": (hidden,),
        "norm2.weight": (hidden,),
        **linear("attn.qkv", 3 * hidden, hidden),
        **linear("attn.proj", hidden, hidden),
        **linear("mlp.gate_proj", ffn, hidden),
        **linear("mlp.up_proj", ffn, hidden),
        **linear("mlp.down_proj", hidden, ffn),
    }
    patch = (hidden, vision.in_channels, vision.temporal_patch_size, vision.patch_size, vision.patch_size)
    tensors: dict[str, tuple[int, ...]] = {"patch_embed.proj.weight": patch}
    for index in range(vision.depth):
        tensors |= {f"blocks.{index}.{name}": dims for name, dims in block.items()}
    tensors["merger.ln_q.weight"] = (hidden,)
    return tensors | linear("merger.mlp.0", merged, merged) | linear("merger.mlp.2", vision.out_hidden_size, merged)


QWEN2_5_VL = FamilyFacts(
    name="Qwen2.5-VL",
    read=read,
    vllm_class="vllm.model_executor.models.qwen2_5_vl:Qwen2_5_VLForConditionalGeneration",
    tower_class="transformers.models.qwen2_5_vl.modeling_qwen2_5_vl:Qwen2_5_VisionTransformerPretrainedModel",
    tower_tensors=tower_tensors,
)
