"""From names of the checkpoint to Megatron's parameters."""

from __future__ import annotations

from lmm_r1_mega.convert.mapping import Transfer, WeightMapping
from lmm_r1_mega.convert.rules import QKV, Copy
from lmm_r1_mega.models.freeze import frozen_parameters

QKV_BIAS = tuple(f"model.layers.0.self_attn.{part}_proj.bias" for part in "qkv")
PLAN = WeightMapping(
    (
        Transfer("visual.merger.ln_q.weight", ("visual.merger.ln_q.weight",), Copy()),
        Transfer("decoder.layers.0.self_attention.linear_qkv.bias", QKV_BIAS, QKV(2, 1, 4)),
        Transfer("output_layer.weight", ("lm_head.weight",), Copy(0)),
    ),
    long_names=True,
)


def test_a_parameter_is_frozen_where_all_its_tensors_are():
    assert frozen_parameters(PLAN, frozenset([*QKV_BIAS, "lm_head.weight"])) == {
        "decoder.layers.0.self_attention.linear_qkv.bias",
        "output_layer.weight",
    }
    assert frozen_parameters(PLAN, frozenset(QKV_BIAS[:2])) == frozenset()
