"""Name and shape of every tensor of a Qwen2.5-VL checkpoint, without torch.

Names are those of the short Hugging Face layout (`visual.*`, `model.*`); checkpoints of newer transformers have the long one.
"""

from __future__ import annotations

from lmm_r1_mega.convert.shape import ModelShape, VisionShape

TOWER = "visual."
LONG_PREFIXES = {"visual.": "model.visual.", "model.": "model.language_model."}
QKV_WEIGHTS, QKV_BIASES = (tuple(f"self_attn.{part}_proj.{kind}" for part in "qkv") for kind in ("weight", "bias"))
GATE_UP = ("mlp.gate_proj.weight", "mlp.up_proj.weight")
FUSED = (QKV_WEIGHTS, QKV_BIASES, GATE_UP)
"""Tensors of a layer that are one parameter of Megatron's."""


def long_name(short: str) -> str:
    """`visual.x` -> `model.visual.x`, `model.x` -> `model.language_model.x`; other names stay."""
    for prefix, longer in LONG_PREFIXES.items():
        if short.startswith(prefix):
            return longer + short.removeprefix(prefix)
    return short


def short_name(name: str) -> str:
    """Inverse of `long_name`; short names stay."""
    for prefix, longer in LONG_PREFIXES.items():
        if name.startswith(longer):
            return prefix + name.removeprefix(longer)
    return name


def hf_shapes(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the checkpoint, in the order of the forward pass."""
    shapes = {f"{TOWER}{name}": dims for name, dims in _tower_shapes(shape.vision).items()}
    shapes["model.embed_tokens.weight"] = (shape.vocab_size, shape.hidden_size)
    for layer in range(shape.num_layers):
        shapes |= {f"model.layers.{layer}.{name}": dims for name, dims in _layer_shapes(shape).items()}
    shapes["model.norm.weight"] = (shape.hidden_size,)
    if not shape.tied:
        shapes["lm_head.weight"] = (shape.vocab_size, shape.hidden_size)
    return shapes


def _layer_shapes(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    hidden, ffn, head = shape.hidden_size, shape.ffn_size, shape.head_dim
    rows = {"q": shape.num_heads * head, "k": shape.num_kv_heads * head, "v": shape.num_kv_heads * head}
    return {
        "input_layernorm.weight": (hidden,),
        **{f"self_attn.{part}_proj.weight": (size, hidden) for part, size in rows.items()},
        **{f"self_attn.{part}_proj.bias": (size,) for part, size in rows.items()},
        "self_attn.o_proj.weight": (hidden, shape.num_heads * head),
        "post_attention_layernorm.weight": (hidden,),
        "mlp.gate_proj.weight": (ffn, hidden),
        "mlp.up_proj.weight": (ffn, hidden),
        "mlp.down_proj.weight": (hidden, ffn),
    }


def _tower_shapes(vision: VisionShape) -> dict[str, tuple[int, ...]]:
    hidden, ffn = vision.hidden_size, vision.ffn_size
    merged = hidden * vision.merge_size**2
    block = {
        "norm1.weight": (hidden,),
        "norm2.weight": (hidden,),
        **_linear("attn.qkv", 3 * hidden, hidden),
        **_linear("attn.proj", hidden, hidden),
        **_linear("mlp.gate_proj", ffn, hidden),
        **_linear("mlp.up_proj", ffn, hidden),
        **_linear("mlp.down_proj", hidden, ffn),
    }
    patch = (hidden, vision.in_channels, vision.temporal_patch_size, vision.patch_size, vision.patch_size)
    shapes: dict[str, tuple[int, ...]] = {"patch_embed.proj.weight": patch}
    for index in range(vision.depth):
        shapes |= {f"blocks.{index}.{name}": dims for name, dims in block.items()}
    shapes["merger.ln_q.weight"] = (hidden,)
    return shapes | _linear("merger.mlp.0", merged, merged) | _linear("merger.mlp.2", vision.out_hidden_size, merged)


def _linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
