"""The whole plan: grid, batch, verdict, advice, and its two renderings."""

import io
import json
import shlex
import subprocess
import sys

import pytest
from paper_model import small_shape
from rich.console import Console

from lmm_r1_mega.config import Config
from lmm_r1_mega.config.reading import read_config
from lmm_r1_mega.planning.hardware import GIB, Hardware
from lmm_r1_mega.planning.plan import batch_arithmetic, plan, rank_grid
from lmm_r1_mega.planning.report import as_json, render
from lmm_r1_mega.planning.rollout import engine_memory

A100 = Hardware(80.0)


def config(**sections) -> Config:
    return Config.model_validate({"layout": {"max_tokens_per_microbatch": 8192}, "cluster": {"gpus_per_node": 8}} | sections)


def test_ranks_count_tensor_first_then_data_then_pipeline():
    grid = rank_grid(config(layout={"tensor": 2, "pipeline": 2, "data": 2}))
    assert [(one.rank, one.tensor, one.data, one.pipeline) for one in grid] == [
        (0, 0, 0, 0), (1, 1, 0, 0), (2, 0, 1, 0), (3, 1, 1, 0), (4, 0, 0, 1), (5, 1, 0, 1), (6, 0, 1, 1), (7, 1, 1, 1),
    ]  # fmt: skip


def test_batch_arithmetic_by_hand():
    settings = config(
        layout={"data": 4, "max_tokens_per_microbatch": 300},
        algorithm={"prompts_per_step": 16, "samples_per_prompt": 8, "optimizer_steps": 4, "epochs": 2},
        data={"max_prompt_tokens": 100},
        rollout={"max_response_tokens": 51},
    )
    batch = batch_arithmetic(settings)  # 128 samples in four; the longest takes 150 places, two of them a row
    assert (batch.samples, batch.optimizer_steps, batch.samples_per_update, batch.samples_per_rank, batch.microbatches_per_rank) == (
        128,
        8,
        32,
        8,
        4,
    )


def test_room_for_keys_and_values_by_hand(published):
    engine = engine_memory(config(rollout={"tensor": 2, "gpu_memory": 0.5}), published("7B"), A100)
    assert engine.weights == 8_292_166_656  # two bytes a parameter, half of them
    assert engine.kv_bytes_per_token == 2 * 28 * 2 * 128 * 2
    assert engine.kv_tokens == (40 * GIB - 8_292_166_656 - 3 * GIB) // 28672


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("response", "at_once"), [(4096, 8192), (8192, 12288)])
def test_an_engine_on_a_cpu_has_copies_of_its_output_layer_and_prompts_under_way(tied, response, at_once):
    settings = config(rollout={"tensor": 2, "kv_cache_gib": 0.5, "max_response_tokens": response}, data={"max_prompt_tokens": 4096})
    shape = small_shape(tied=tied)
    engine = engine_memory(settings, shape, Hardware(None))
    assert engine.working == GIB + 3 * 10 * 8 * 4 // 2 + at_once * (8 + 8 + 3 * shape.ffn_size // 2) * 4
    assert engine.kv_room == GIB // 2


def test_more_engine_ranks_than_heads_hold_a_whole_head_each(published):
    assert engine_memory(config(rollout={"tensor": 8}), published("3B"), A100).kv_bytes_per_token == 2 * 36 * 1 * 128 * 2


def test_a_layout_that_fits(published):
    settings = config(layout={"tensor": 4, "data": 2, "max_tokens_per_microbatch": 8192}, rollout={"engines": 8, "gpu_memory": 0.4})
    made = plan(settings, published("7B"), A100, reward_shapes={})
    assert made.is_valid and made.advice is None and made.num_gpus == 8
    resident, peak = made.stages[0].resident, made.stages[0].peak
    assert made.verdict.training == peak < 80 * GIB
    assert made.verdict.generating == resident + 32 * GIB
    assert made.verdict.host == 8 * made.engine.weights


def test_reference_snapshots_lie_in_host_memory(published):
    settings = config(layout={"tensor": 4, "data": 2, "max_tokens_per_microbatch": 8192}, rollout={"engines": 8, "gpu_memory": 0.4})
    with_reference = settings.model_copy(update={"algorithm": settings.algorithm.model_validate({"kl": {"coefficient": 0.1}})})
    made = plan(with_reference, published("7B"), Hardware(80.0, host_gib=100), reward_shapes={})
    assert made.verdict.host == 8 * made.engine.weights + 8 * made.stages[0].num_trained * 2
    assert any("GiB of host memory and have 100" in reason for reason in made.verdict.reasons)


def test_what_does_not_fit_says_why(published):
    made = plan(config(), published("32B"), A100, reward_shapes={})
    assert not made.is_valid
    assert "training needs" in made.verdict.reasons[0]
    assert "the trainer keeps" in made.verdict.reasons[1]
    assert "0 tokens of KV cache" in made.verdict.reasons[2]


def test_disaggregated_engines_have_their_gpus_to_themselves(published):
    made = plan(
        config(layout={"tensor": 4, "max_tokens_per_microbatch": 8192}, cluster={"placement": "disaggregated"}),
        published("7B"),
        A100,
        reward_shapes={},
    )
    assert made.num_gpus == 5
    assert made.verdict.generating == 48 * GIB


@pytest.mark.parametrize("size", ["3B", "7B", "32B", "72B"])
def test_the_advised_layout_fits_when_it_is_taken(published, size):
    advice = plan(config(), published(size), A100, reward_shapes={}).advice
    assert advice is not None
    taken = plan(read_config(["--cluster.gpus_per_node", "8", *shlex.split(advice)]), published(size), A100, reward_shapes={})
    assert taken.is_valid, (taken.problems, taken.verdict)


def test_a_wrong_layout_is_planned_as_well_as_it_can_be(published):
    made = plan(config(layout={"tensor": 3, "pipeline": 5, "max_tokens_per_microbatch": 8192}), published("7B"), A100, reward_shapes={})
    assert [problem.level for problem in made.problems][:2] == ["error", "error"]
    assert not made.is_valid


def test_a_cpu_run_counts_every_process(published):
    made = plan(
        config(layout={"tensor": 2, "max_tokens_per_microbatch": 8192}), published("3B"), Hardware(None, host_gib=64), reward_shapes={}
    )
    assert made.verdict.host == 2 * made.stages[0].peak + made.engine.budget + GIB
    assert any("have 64" in reason for reason in made.verdict.reasons)


def test_renderings_tell_the_same(published):
    made = plan(
        config(layout={"tensor": 4, "pipeline": 2, "max_tokens_per_microbatch": 8192}, algorithm={"name": "ppo"}),
        published("7B"),
        A100,
        reward_shapes={},
    )
    tree = json.loads(json.dumps(as_json(made)))
    assert tree["stages"][1]["peak"] == made.stages[1].peak
    assert tree["verdict"]["fits"] == made.verdict.fits
    page = io.StringIO()
    Console(file=page, width=200).print(render(made))
    assert "8.29 B parameters" in page.getvalue()
    assert f"{made.stages[1].peak / GIB:.2f}" in page.getvalue()
    assert "4-7" in page.getvalue()  # the ranks of the second stage


def test_planning_does_not_import_torch():
    code = "import sys, lmm_r1_mega.planning.plan, lmm_r1_mega.planning.report; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
