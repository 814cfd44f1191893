"""Every wrong configuration gets its message with the nearest valid values; a right one gets none."""

import re

import pytest
from paper_model import small_shape

from lmm_r1_mega.config import Config
from lmm_r1_mega.planning.checks import check_overlap, find_problems, nearest, rollout_tensor_sizes, tensor_sizes
from lmm_r1_mega.planning.hardware import Hardware

GPU = Hardware(80.0)
GOOD = {
    "layout": {"tensor": 4, "pipeline": 2, "data": 2, "max_tokens_per_microbatch": 8192},
    "rollout": {"engines": 4, "tensor": 4},
    "cluster": {"nodes": 2, "gpus_per_node": 8},
}


def problems(shape, level, **sections):
    merged = {name: GOOD.get(name, {}) | sections.get(name, {}) for name in {*GOOD, *sections}}
    return [one.message for one in find_problems(Config.model_validate(merged), shape, GPU) if one.level == level]


def test_a_good_layout_has_no_problem(published):
    assert problems(published("7B"), "error") + problems(published("7B"), "warning") == []


def test_sizes_that_the_published_models_allow(published):
    assert tensor_sizes(published("3B")) == [1, 2]
    assert tensor_sizes(published("7B")) == [1, 2, 4]
    assert tensor_sizes(published("32B")) == tensor_sizes(published("72B")) == [1, 2, 4, 8]
    assert rollout_tensor_sizes(published("3B")) == [1, 2, 4, 8, 16]
    assert rollout_tensor_sizes(published("7B")) == [1, 2, 4]
    assert rollout_tensor_sizes(published("72B")) == [1, 2, 4, 8, 16, 32, 64]


@pytest.mark.parametrize(("value", "expected"), [(8, "4"), (3, "2 or 4"), (2, "2 or 4"), (0, "1")])
def test_nearest(value, expected):
    assert nearest(value, [4, 1, 2]) == expected


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"layout": {"tensor": 8}}, "layout.tensor 8 does not divide the model's 28 heads, 4 key-value heads .*: use 4"),
        ({"layout": {"pipeline": 3}}, "layout.pipeline 3 does not divide the model's 28 layers: use 2 or 4"),
        ({"model": {"freeze": ["vision.*"]}}, r"model.freeze 'vision\.\*' matches no parameter: the nearest name is visual\."),
        (
            {"layout": {"max_tokens_per_microbatch": 4096}},
            "the longest sample has 5120 tokens .* raise layout.max_tokens_per_microbatch to 5119 or more",
        ),
        ({"data": {"max_prompt_tokens": 128000}}, "the model 128000 positions: lower .* by 1024"),
        ({"rollout": {"tensor": 8, "engines": 1}}, "rollout.tensor 8 does not fit the model's 28 heads and 4 key-value heads: use 4"),
        (
            {"rollout": {"engines": 5}},
            "rollout.engines 5 x rollout.tensor 4 need 20 GPUs and share the trainer's 16: lower rollout.engines to 4",
        ),
        ({"layout": {"data": 4}}, "32 GPUs are needed .* are 16: lower layout.data to 2, or raise cluster.nodes to 4"),
        ({"layout": {"pipeline": 14, "data": 1}}, "56 GPUs are needed .* are 16: lower layout.tensor or layout.pipeline, or raise .* to 7"),
        ({"cluster": {"placement": "disaggregated"}}, r"32 GPUs are needed \(.* \+ 16 of the engines\)"),
        (
            {"rollout": {"max_staleness": 1}},
            "rollout.max_staleness 1 generates while the trainer works, .* set cluster.placement to disaggregated, or .* to 0",
        ),
        (
            {"algorithm": {"name": "ppo"}, "critic": {"warmup_steps": 5}, "run": {"steps": 5}},
            "critic.warmup_steps 5 leaves none of run.steps 5 for the policy to learn in: lower it, or raise run.steps",
        ),
        ({"cluster": {"nodes": 6, "gpus_per_node": 3}}, "rollout.tensor 4 does not divide cluster.gpus_per_node 3 .*: use 3"),
    ],
)
def test_errors(published, sections, message):
    found = problems(published("7B"), "error", **sections)
    assert any(re.search(message, one) for one in found), found


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"algorithm": {"prompts_per_step": 10, "optimizer_steps": 3}}, "80 samples a step .* set algorithm.optimizer_steps 3 to 2 or 4"),
        (
            {"algorithm": {"prompts_per_step": 12, "optimizer_steps": 32}},
            "3 samples an optimizer step are uneven over layout.data 2: .* to 1 or 3",
        ),
        ({"algorithm": {"prompts_per_step": 6}}, "6 are uneven over rollout.engines 4: set rollout.engines to 3 or 6"),
        ({"rollout": {"engines": 2}}, "8 of the trainer's 16 GPUs idle .* raise rollout.engines from 2 to 4"),
        ({"cluster": {"nodes": 3, "gpus_per_node": 6}}, "layout.tensor 4 does not divide cluster.gpus_per_node 6, .*: use 2"),
        (
            {"rollout": {"max_staleness": 1}},
            "rollout.max_staleness 1 learns from samples of older weights .*: set algorithm.old_logprobs to rollout, or",
        ),
    ],
)
def test_warnings(published, sections, message):
    found = problems(published("7B"), "warning", **sections)
    assert any(re.search(message, one) for one in found), found


@pytest.mark.parametrize("correction", [{"old_logprobs": "rollout"}, {"importance_cap": 2.0}, {"importance_bounds": (0.5, 2.0)}])
def test_each_correction_of_older_samples_will_do(published, correction):
    found = problems(published("7B"), "warning", rollout={"max_staleness": 1}, algorithm=correction)
    assert not any("older weights" in one for one in found), found


def test_fp8_wants_aligned_widths():
    [message] = [one for one in problems(small_shape(), "warning", model={"precision": "fp8"}) if one.startswith("fp8")]
    assert "hidden size 8 and feed-forward width a rank 3" in message


def test_engines_with_gpus_of_their_own_and_cpus_may_be_ahead(published):
    apart = {"rollout": {"max_staleness": 1}, "cluster": {"placement": "disaggregated", "nodes": 4}}
    assert problems(published("7B"), "error", **apart) == []
    shared = Config.model_validate({"rollout": {"max_staleness": 1}})
    check_overlap(shared, has_gpus=False)
    with pytest.raises(ValueError, match=r"rollout.max_staleness 1 .*: set cluster.placement to disaggregated"):
        check_overlap(shared, has_gpus=True)
