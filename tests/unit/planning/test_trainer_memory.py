"""Bytes of states and activations against numbers worked out on paper."""

import pytest
from paper_model import VISION, VISION_PARAMETERS, small_shape

from lmm_r1_mega.config import Config, LayoutSettings
from lmm_r1_mega.planning.hardware import Hardware
from lmm_r1_mega.planning.memory import (
    States,
    decoder_activations,
    layer_activations,
    logits_bytes,
    stage_memories,
    states,
    tower_activations,
)
from lmm_r1_mega.planning.parameters import RankParameters

RANK = RankParameters(trained=100, frozen=20, matrices=50)


def config(**sections) -> Config:
    return Config.model_validate({"model": {"vocab_padding_multiple": 3}, "layout": {"max_tokens_per_microbatch": 10}} | sections)


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("bf16", States(weights=240, gradients=400, optimizer=300)),
        ("fp32", States(weights=480, gradients=400, optimizer=200)),
        ("fp8", States(weights=340, gradients=400, optimizer=300)),
    ],
)
def test_states_by_hand(precision, expected):
    assert states(RANK, precision=precision, layout=LayoutSettings(data=4)) == expected


def test_a_whole_optimizer_is_on_every_data_rank():
    layout = LayoutSettings(data=4, distributed_optimizer=False)
    assert states(RANK, precision="bf16", layout=layout).optimizer == 1200


def test_layer_activations_by_hand():
    # norms 6 x 8; three times four heads and twice two key-value heads of 2; five times 12; sines and cosines 4 x 2
    assert layer_activations(small_shape(), LayoutSettings(), width=2) == (48 + 32 + 60 + 8) * 2
    assert layer_activations(small_shape(), LayoutSettings(tensor=2), width=2) == (24 + 16 + 30 + 8) * 2
    assert layer_activations(small_shape(), LayoutSettings(tensor=2, sequence_parallel=False), width=2) == (48 + 16 + 30 + 8) * 2


def test_earlier_stages_have_more_micro_batches_under_way():
    shape = small_shape(num_layers=4)
    settings = config(layout={"max_tokens_per_microbatch": 10, "pipeline": 2})
    layer = layer_activations(shape, settings.layout, width=2)
    assert [decoder_activations(settings, shape, stage=stage, width=2) for stage in (0, 1)] == [2 * 2 * layer * 10, 2 * layer * 10]


def test_recomputation_keeps_inputs_and_one_layer():
    settings = config(model={"recompute": "full"})
    layer = layer_activations(small_shape(), settings.layout, width=2)
    assert decoder_activations(settings, small_shape(), stage=0, width=2) == (2 * 8 * 2 + layer) * 10


def test_logits_by_hand():
    assert logits_bytes(config(), small_shape(), width=2) == 2 * 10 * 12 * 2
    assert logits_bytes(config(layout={"max_tokens_per_microbatch": 10, "tensor": 2}), small_shape(), width=2) == 2 * 10 * 6 * 2


def test_tower_activations_by_hand():
    # a patch: two norms of 4 with an fp32 and two bf16 numbers each, 7 x 4 + 4 x 6 numbers of bf16
    assert tower_activations(VISION, num_patches=3, width=2) == 3 * (2 * 4 * 8 + 52 * 2)


def test_the_tower_is_on_the_first_stage_and_frozen_keeps_nothing():
    settings = config(layout={"max_tokens_per_microbatch": 10, "pipeline": 2})
    first, last = stage_memories(settings, small_shape(), Hardware(80.0), image_share=0.5)
    assert first.vision == 2 * tower_activations(VISION, num_patches=20, width=2)
    assert (last.vision, first.logits) == (0, 0)
    frozen = config(model={"freeze": ["model.visual.*"]})
    [only] = stage_memories(frozen, small_shape(), Hardware(80.0), image_share=0.5)
    assert only.vision == 0
    assert only.num_parameters - only.num_trained == VISION_PARAMETERS


def test_critic_and_reference_are_there_when_asked_for():
    def stage(**algorithm):
        [only] = stage_memories(config(algorithm=algorithm), small_shape(), Hardware(80.0), image_share=0.0)
        return only

    plain, ppo, with_reference = stage(), stage(name="ppo"), stage(kl={"coefficient": 0.1})
    assert (plain.critic.total, plain.snapshot) == (0, 0)
    assert ppo.critic.weights == plain.policy.weights - (12 * 8 - 8) * 2
    assert ppo.peak == plain.peak + ppo.critic.total
    assert with_reference.snapshot == with_reference.num_trained * 2


def test_a_cpu_computes_in_fp32():
    [cpu] = stage_memories(config(), small_shape(), Hardware(None), image_share=0.0)
    assert cpu.policy.weights == cpu.num_parameters * 4
