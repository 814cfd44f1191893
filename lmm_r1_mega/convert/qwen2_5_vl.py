"""Qwen2.5-VL: the rule that carries each tensor of its Hugging Face checkpoint to Megatron.

Names here are the short Hugging Face layout (`visual.*`, `model.*`); `convert.plan` reads and writes the long one too.
Megatron names are those of a distributed checkpoint, with the layer's number in the whole model.
"""

from __future__ import annotations

from dataclasses import dataclass

from lmm_r1_mega.convert.hf_shapes import GATE_UP, QKV_BIASES, QKV_WEIGHTS
from lmm_r1_mega.convert.rules import QKV, Copy, GateUp, Vocab, WeightRule
from lmm_r1_mega.convert.shape import ModelShape

EMBEDDING = "embedding.word_embeddings.weight"
OUTPUT = "output_layer.weight"


@dataclass(frozen=True)
class TableRow:
    """One Megatron parameter and the Hugging Face tensors it is made of; `{layer}` stands for each decoder layer."""

    megatron: str
    hf: tuple[str, ...]
    rule: WeightRule


def table(shape: ModelShape, *, padded_vocab: int) -> tuple[TableRow, ...]:
    """The language model's rows; the vision tower is `visual.** = visual.**`, copied and replicated."""
    qkv = QKV(shape.num_heads, shape.num_kv_heads, shape.head_dim)
    vocab = Vocab(shape.vocab_size, padded_vocab)
    layer, hf = "decoder.layers.{layer}.", "model.layers.{layer}."
    rows = (
        TableRow(EMBEDDING, ("model.embed_tokens.weight",), vocab),
        TableRow(f"{layer}self_attention.linear_qkv.layer_norm_weight", (f"{hf}input_layernorm.weight",), Copy()),
        TableRow(f"{layer}self_attention.linear_qkv.weight", tuple(hf + name for name in QKV_WEIGHTS), qkv),
        TableRow(f"{layer}self_attention.linear_qkv.bias", tuple(hf + name for name in QKV_BIASES), qkv),
        TableRow(f"{layer}self_attention.linear_proj.weight", (f"{hf}self_attn.o_proj.weight",), Copy(split_dim=1)),
        TableRow(f"{layer}mlp.linear_fc1.layer_norm_weight", (f"{hf}post_attention_layernorm.weight",), Copy()),
        TableRow(f"{layer}mlp.linear_fc1.weight", tuple(hf + name for name in GATE_UP), GateUp()),
        TableRow(f"{layer}mlp.linear_fc2.weight", (f"{hf}mlp.down_proj.weight",), Copy(split_dim=1)),
        TableRow("decoder.final_layernorm.weight", ("model.norm.weight",), Copy()),
    )
    return rows if shape.tied else (*rows, TableRow(OUTPUT, ("lm_head.weight",), vocab))
