"""What the plan counts is what transformers and Megatron hold: parameters, bytes of states, activations kept for backward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_cases import Case, make_model, make_sequences, start_engine
from spawn import spawn
from torch import Tensor

from lmm_r1_mega.batching.packing import pack
from lmm_r1_mega.data.chat.vision_spec import VisionSpec
from lmm_r1_mega.families.registry import hf_tensors, read_shape
from lmm_r1_mega.families.shape import VisionShape
from lmm_r1_mega.families.weights import long_name
from lmm_r1_mega.planning.hardware import Hardware
from lmm_r1_mega.planning.memory import layer_activations, stage_memories, tower_activations
from tools.make_tiny_model import TinyShape, make_tiny_model

MODELS = Path(__file__).parents[2] / "examples" / "models"


@pytest.mark.parametrize("size", ["3B", "7B", "32B", "72B"])
def test_published_models_have_the_tensors_that_transformers_builds(size: str) -> None:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    folder = MODELS / f"Qwen2.5-VL-{size}-Instruct"
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig.from_pretrained(folder))
    model.tie_weights()
    built = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert {long_name(name): shape for name, shape in hf_tensors(read_shape(folder)).items()} == built


def describe(case: Case) -> str:
    """A short name for a case."""
    return f"tensor{case.tensor}-pipeline{case.pipeline}-data{case.data}-sp{case.sequence_parallel:d}-do{case.distributed_optimizer:d}"


@dataclass(frozen=True)
class Held:
    """What an engine really keeps on one rank."""

    parameters: int
    weights: int
    gradients: int
    optimizer: int


def held_by_engine(model: Path, case: Case) -> Held:
    engine = start_engine(model, case)
    parameters = list(engine._module.parameters())
    moments = [
        tensor for part in engine._optimizer.chained_optimizers for state in part.optimizer.state.values() for tensor in state.values()
    ]
    return Held(
        parameters=sum(one.numel() for one in parameters),
        weights=sum(one.nbytes for one in parameters),
        gradients=sum(buffer.grad_data.nbytes for buffer in engine._model.buffers),
        optimizer=sum(tensor.nbytes for tensor in moments if tensor.dim()),
    )


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    "case", [Case(), Case(tensor=2, pipeline=2), Case(data=2), Case(data=2, distributed_optimizer=False)], ids=describe
)
def test_states_of_an_engine(tmp_path: Path, case: Case, tied: bool) -> None:
    model = make_model(tmp_path, tied=tied)
    stages = stage_memories(case.config(model), read_shape(model), Hardware(None), image_share=0.0)
    for rank, held in enumerate(spawn(held_by_engine, case.num_ranks, model, case)):
        stage = stages[rank // (case.tensor * case.data)]
        assert held.parameters == stage.num_parameters
        assert held.weights == stage.policy.weights
        assert held.gradients == pytest.approx(stage.policy.gradients, rel=0.01)  # Megatron pads its buffers
        assert held.optimizer == pytest.approx(stage.policy.optimizer, rel=0.01)


def kept_bytes(compute: Callable[[], Any], parameters: list[Tensor]) -> int:
    """Bytes of all tensors that autograd keeps for the backward pass of `compute`, parameters left out, shared storage once."""
    own = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        compute()
    return sum(tensor.untyped_storage().nbytes() for address, tensor in kept.items() if address not in own)


def kept_by_decoder(model: Path, case: Case) -> tuple[int, int]:
    """Places of a row of one sequence, and bytes that this rank keeps for backward."""
    module = start_engine(model, case)._module
    row = pack([make_sequences(model, images=False)[3]], spec=VisionSpec.load(model), multiple_of=case.tensor)
    return len(row.labels), kept_bytes(lambda: module(row), list(module.parameters()))


@pytest.mark.parametrize("case", [Case(), Case(tensor=2), Case(tensor=2, sequence_parallel=False)], ids=describe)
def test_activations_of_decoder_layers(tmp_path: Path, case: Case) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    make_tiny_model(few, TinyShape(layers=2))
    make_tiny_model(many, TinyShape(layers=6))
    (places, few_bytes), *_ = spawn(kept_by_decoder, case.num_ranks, few, case)
    (_, many_bytes), *_ = spawn(kept_by_decoder, case.num_ranks, many, case)
    planned = layer_activations(read_shape(few), case.config(few).layout, width=4) * places
    assert (many_bytes - few_bytes) / 4 == pytest.approx(planned, rel=0.03)


@pytest.mark.parametrize(("dtype", "width"), [(torch.float32, 4), (torch.bfloat16, 2)])
def test_activations_of_tower_blocks(dtype: torch.dtype, width: int) -> None:
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel, Qwen2_5_VLVisionConfig

    def kept(depth: int) -> int:
        config = Qwen2_5_VLVisionConfig(
            depth=depth, hidden_size=320, num_heads=4, intermediate_size=855, out_hidden_size=64, fullatt_block_indexes=[1]
        )
        tower = Qwen2_5_VisionTransformerPretrainedModel._from_config(config, attn_implementation="sdpa").to(dtype)
        return kept_bytes(lambda: tower(torch.randn(512, 1176, dtype=dtype), torch.tensor([[1, 16, 16]] * 2)), list(tower.parameters()))

    vision = VisionShape(
        depth=4, hidden_size=320, ffn_size=855, num_heads=4, out_hidden_size=64, in_channels=3, patch_size=14, temporal_patch_size=2,
        merge_size=2, window_size=112, full_attention_blocks=(1,),
    )  # fmt: skip
    assert kept(6) - kept(2) == pytest.approx(tower_activations(vision, num_patches=512, width=width), rel=0.03)
