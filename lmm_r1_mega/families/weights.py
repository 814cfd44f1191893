"""Names of weights on both sides: Hugging Face tensors with their shapes, and the Megatron parameters that are made of them.

Names here are the short Hugging Face layout (`visual.*`, `model.*`); newer transformers write the long one.
Megatron names are those of a distributed checkpoint, with the layer's number in the whole model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lmm_r1_mega.families.shape import ModelShape

TOWER = "visual."
LONG_PREFIXES = {"visual.": "model.visual.", "model.": "model.language_model."}
HF_EMBEDDING, HF_OUTPUT, HF_FINAL_NORM, HF_LAYERS = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight", "model.layers."
EMBEDDING, OUTPUT, FINAL_NORM, LAYERS = (
    "embedding.word_embeddings.weight",
    "output_layer.weight",
    "decoder.final_layernorm.weight",
    "decoder.layers.",
)
QKV_WEIGHTS, QKV_BIASES = (tuple(f"self_attn.{part}_proj.{kind}" for part in "qkv") for kind in ("weight", "bias"))
GATE_UP = ("mlp.gate_proj.weight", "mlp.up_proj.weight")

Arrangement = Literal["copy", "qkv", "gate_up", "vocab"]
"""How a Megatron parameter is arranged out of Hugging Face tensors: a rule of `convert.rules`."""


@dataclass(frozen=True)
class TableRow:
    """One Megatron parameter and the Hugging Face tensors it is made of; `{layer}` stands for each decoder layer."""

    megatron: str
    hf: tuple[str, ...]
    arrangement: Arrangement = "copy"
    split_dim: int | None = None
    """Dimension that tensor-parallel ranks split; None for a parameter that each of them holds whole."""


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


def decoder_rows(shape: ModelShape) -> tuple[TableRow, ...]:
    """The decoder's rows, in the order of the forward pass."""
    layer, hf = LAYERS + "{layer}.", HF_LAYERS + "{layer}."
    biases = (TableRow(f"{layer}self_attention.linear_qkv.bias", tuple(hf + name for name in QKV_BIASES), "qkv", 0),)
    norms = tuple(TableRow(f"{layer}self_attention.{part}_layernorm.weight", (f"{hf}self_attn.{part}_norm.weight",)) for part in "qk")
    return (
        TableRow(EMBEDDING, (HF_EMBEDDING,), "vocab", 0),
        TableRow(f"{layer}self_attention.linear_qkv.layer_norm_weight", (f"{hf}input_layernorm.weight",)),
        TableRow(f"{layer}self_attention.linear_qkv.weight", tuple(hf + name for name in QKV_WEIGHTS), "qkv", 0),
        *(biases if shape.has_qkv_bias else ()),
        *(norms if shape.has_qk_norm else ()),
        TableRow(f"{layer}self_attention.linear_proj.weight", (f"{hf}self_attn.o_proj.weight",), split_dim=1),
        TableRow(f"{layer}mlp.linear_fc1.layer_norm_weight", (f"{hf}post_attention_layernorm.weight",)),
        TableRow(f"{layer}mlp.linear_fc1.weight", tuple(hf + name for name in GATE_UP), "gate_up", 0),
        TableRow(f"{layer}mlp.linear_fc2.weight", (f"{hf}mlp.down_proj.weight",), split_dim=1),
        TableRow(FINAL_NORM, (HF_FINAL_NORM,)),
        *(() if shape.tied else (TableRow(OUTPUT, (HF_OUTPUT,), "vocab", 0),)),
    )


def decoder_tensors(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the decoder, in the order of the forward pass."""
    tensors: dict[str, tuple[int, ...]] = {HF_EMBEDDING: (shape.vocab_size, shape.hidden_size)}
    for layer in range(shape.num_layers):
        tensors |= {f"{HF_LAYERS}{layer}.{name}": dims for name, dims in _layer_tensors(shape).items()}
    tensors[HF_FINAL_NORM] = (shape.hidden_size,)
    return tensors if shape.tied else tensors | {HF_OUTPUT: (shape.vocab_size, shape.hidden_size)}


def _layer_tensors(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    hidden, ffn, head = shape.hidden_size, shape.ffn_size, shape.head_dim
    widths = {"q": shape.num_heads * head, "k": shape.num_kv_heads * head, "v": shape.num_kv_heads * head}
    biases = {f"self_attn.{part}_proj.bias": (width,) for part, width in widths.items()}
    norms = {f"self_attn.{part}_norm.weight": (head,) for part in "qk"}
    return {
        "input_layernorm.weight": (hidden,),
        **{f"self_attn.{part}_proj.weight": (width, hidden) for part, width in widths.items()},
        **(biases if shape.has_qkv_bias else {}),
        **(norms if shape.has_qk_norm else {}),
        "self_attn.o_proj.weight": (hidden, shape.num_heads * head),
        "post_attention_layernorm.weight": (hidden,),
        "mlp.gate_proj.weight": (ffn, hidden),
        "mlp.up_proj.weight": (ffn, hidden),
        "mlp.down_proj.weight": (hidden, ffn),
    }


def linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a linear layer with a bias."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def layer_norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a LayerNorm with a bias."""
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
