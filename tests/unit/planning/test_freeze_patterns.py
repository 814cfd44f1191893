"""What `model.freeze` may name: one rule for the plan, which asks before any process starts, and for the trainer."""

import re

import pytest
from paper_model import small_shape

from lmm_r1_mega.config import Config
from lmm_r1_mega.convert.freeze import freeze_problems, frozen_names
from lmm_r1_mega.planning.checks import check_run

SHAPE = small_shape()
QKV = ("*.[qkv]_proj.weight", "*.[qkv]_proj.bias")


@pytest.mark.parametrize("pattern", ["visual.merger.*", "model.visual.merger.*"])
def test_both_spellings_match(pattern):
    assert {name.rsplit(".", 1)[0] for name in frozen_names(SHAPE, (pattern,))} == {
        "visual.merger.ln_q",
        "visual.merger.mlp.0",
        "visual.merger.mlp.2",
    }


@pytest.mark.parametrize(
    "patterns", [(), ("visual.*",), QKV, ("model.layers.1.*",), ("*.[qkv]_proj.bias",), ("*.o_proj.weight", "lm_head*")]
)
def test_whole_parameters_may_be_frozen(patterns):
    assert freeze_problems(SHAPE, patterns) == []


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (("*.q_proj.weight", *QKV[1:]), r"layer 0: Megatron keeps .* as one parameter: name '\*.k_proj.weight' '\*.v_proj.weight' too"),
        (("model.layers.1.self_attn.k_proj.bias",), r"layer 1: .*: name '\*.q_proj.bias' '\*.v_proj.bias' too"),
        (("*.up_proj.weight",), r"name '\*.gate_proj.weight' too"),
        (QKV[:1], r"without their biases, which would get no gradient: name '\*.q_proj.bias' '\*.k_proj.bias' '\*.v_proj.bias' too"),
        (("visaul.merger*",), r"'visaul.merger\*' matches no parameter: the nearest name is visual.merger"),
        (("*",), "leaves nothing of the model to train: name fewer parameters$"),
    ],
)
def test_what_cannot_be_kept_to_is_refused_before_any_process_starts(patterns, message):
    config = Config.model_validate(
        {"model": {"freeze": patterns}, "data": {"max_prompt_tokens": 16}, "rollout": {"max_response_tokens": 16}}
    )
    with pytest.raises(ValueError) as error:
        check_run(config, SHAPE, generates=True)
    assert re.search(message, str(error.value)), error.value


def test_a_stage_without_a_trained_parameter_is_refused():
    frozen = ("visual.*", "*embed_tokens*", "model.layers.0.*")
    split = {"model": {"freeze": frozen}, "layout": {"pipeline": 2}}
    check_run(Config.model_validate({"model": {"freeze": frozen}}), SHAPE, generates=False)
    with pytest.raises(ValueError, match=r"nothing of pipeline stage 0 to train: name fewer, or lower layout.pipeline 2"):
        check_run(Config.model_validate(split), SHAPE, generates=False)
