"""Freeze patterns: what they match, and what they refuse."""

from __future__ import annotations

import pytest

from lmm_r1_mega.convert.plan import Plan, Transfer
from lmm_r1_mega.convert.rules import QKV, Copy
from lmm_r1_mega.models.freeze import frozen_parameters

QKV_BIAS = tuple(f"model.layers.0.self_attn.{part}_proj.bias" for part in "qkv")
PLAN = Plan(
    (
        Transfer("visual.merger.ln_q.weight", ("visual.merger.ln_q.weight",), Copy()),
        Transfer("decoder.layers.0.self_attention.linear_qkv.bias", QKV_BIAS, QKV(2, 1, 4)),
        Transfer("output_layer.weight", ("lm_head.weight",), Copy(0)),
    ),
    long_names=True,
)


@pytest.mark.parametrize("pattern", ["visual.*", "model.visual.*", "*ln_q*"])
def test_both_spellings_match(pattern):
    assert frozen_parameters(PLAN, [pattern]) == {"visual.merger.ln_q.weight"}


def test_a_parameter_of_several_tensors_is_frozen_whole():
    assert frozen_parameters(PLAN, ["model.layers.0.*"]) == {"decoder.layers.0.self_attention.linear_qkv.bias"}
    assert frozen_parameters(PLAN, ["*.q_proj.bias", "*.[kv]_proj.bias"]) == {"decoder.layers.0.self_attention.linear_qkv.bias"}
    with pytest.raises(ValueError, match=r"name model.layers.0.self_attn.k_proj.bias, model.layers.0.self_attn.v_proj.bias too"):
        frozen_parameters(PLAN, ["*.q_proj.bias"])


def test_a_pattern_without_a_match_is_an_error_with_the_closest_names():
    with pytest.raises(ValueError, match=r"'visaul\.merger\*' matches no parameter; the closest names are model.visual.merger.ln_q.weight"):
        frozen_parameters(PLAN, ["visaul.merger*"])


def test_nothing_is_frozen_without_patterns():
    assert frozen_parameters(PLAN, []) == frozenset()
