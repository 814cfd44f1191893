"""A plan uses every tensor exactly once, in both layouts of names, or says what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lmm_r1_mega.convert.mapping import default_mapping, make_mapping
from lmm_r1_mega.families.registry import hf_tensors
from lmm_r1_mega.families.shape import ModelShape, VisionShape
from lmm_r1_mega.families.weights import decoder_rows, long_name, short_name

VISION = VisionShape(
    depth=2,
    hidden_size=8,
    ffn_size=12,
    num_heads=2,
    out_hidden_size=16,
    in_channels=3,
    patch_size=2,
    temporal_patch_size=2,
    merge_size=2,
    window_size=8,
    full_attention_blocks=(1,),
)
SHAPE = ModelShape(
    family="qwen2_5_vl",
    head_dim=4,
    has_qkv_bias=True,
    hidden_size=16,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    ffn_size=24,
    vocab_size=50,
    max_positions=64,
    norm_eps=1e-6,
    rope_theta=1e4,
    mrope_section=(1, 1, 0),
    tied=False,
    image_token_id=49,
    vision=VISION,
)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("long_names", [False, True])
def test_every_tensor_of_a_checkpoint_goes_to_one_parameter(tied, long_names):
    shape = replace(SHAPE, tied=tied)
    plan = default_mapping(shape, padded_vocab=64, long_names=long_names)
    used = [name for transfer in plan.transfers for name in transfer.hf]
    assert sorted(used) == sorted(hf_tensors(shape)) and len(set(used)) == len(used)
    assert ("output_layer.weight" in plan.by_megatron()) is not tied
    assert plan.source_name("model.norm.weight") == ("model.language_model.norm.weight" if long_names else "model.norm.weight")


def test_the_two_spellings_are_inverses():
    for name in hf_tensors(SHAPE):
        assert short_name(long_name(name)) == name == short_name(name)
    assert long_name("visual.merger.ln_q.weight") == "model.visual.merger.ln_q.weight"
    assert long_name("lm_head.weight") == "lm_head.weight"


def test_all_problems_of_a_checkpoint_are_listed_at_once():
    found = dict(hf_tensors(SHAPE))
    del found["model.layers.1.mlp.up_proj.weight"]
    found["model.layers.7.mlp.up_proj.weight"] = (24, 16)
    found["lm_head.weight"] = (51, 16)
    with pytest.raises(ValueError) as problem:
        make_mapping(found, SHAPE, padded_vocab=64)
    text = str(problem.value)
    assert "missing model.layers.1.mlp.up_proj.weight" in text
    assert "unknown model.layers.7.mlp.up_proj.weight" in text
    assert "lm_head.weight has shape [51, 16], config.json says [50, 16]" in text


@pytest.mark.parametrize("broken, problem", [("drop", "no rule for model.norm.weight"), ("double", "two rules for model.norm.weight")])
def test_a_broken_table_is_refused(monkeypatch, broken, problem):
    rows = decoder_rows(SHAPE)
    norm = next(row for row in rows if row.hf == ("model.norm.weight",))
    changed = tuple(row for row in rows if row is not norm) if broken == "drop" else (*rows, replace(norm, megatron="other"))
    monkeypatch.setattr("lmm_r1_mega.convert.mapping.decoder_rows", lambda *_, **__: changed)
    with pytest.raises(ValueError, match=problem):
        default_mapping(SHAPE, padded_vocab=64)
