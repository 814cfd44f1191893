"""Every model family against transformers: outputs and gradients of the Megatron model, and its weights there and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from oracle import cases, oracle, tiny
from safetensors.torch import load_file
from spawn import spawn
from stages import hf_gradients, packed_logprobs, relative, row_gradients, run_stage

from lmm_r1_mega.batching.packing import pack
from lmm_r1_mega.config import LayoutSettings, ModelSettings
from lmm_r1_mega.convert.checkpoints import compare, hf_to_megatron, megatron_to_hf
from lmm_r1_mega.data.chat.vision_spec import vision_spec_of
from lmm_r1_mega.families.registry import FAMILIES, hf_tensors, read_shape
from lmm_r1_mega.families.weights import short_name

LOGPROB_BAR, GRADIENT_BAR = 1e-4, 1e-5
OTHERS = sorted(set(FAMILIES) - {"qwen2_5_vl"})  # which test_model_transformers.py has in every layout


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def folder(request, tmp_path_factory) -> Path:
    return tiny(tmp_path_factory.mktemp(request.param), family=request.param, kv=2, tied=request.param == "qwen3")


@pytest.mark.parametrize("tensor, pipeline", [(1, 1), (2, 2)])
@pytest.mark.parametrize("folder", OTHERS, indirect=True)
def test_logprobs_and_gradients_equal_transformers(folder, tensor, pipeline):
    shape, spec = read_shape(folder), vision_spec_of(folder)
    batches = list(cases(spec).values())
    rows = [pack(batch, spec=spec, multiple_of=2) for batch in batches]
    wanted = oracle(folder, batches)
    layout = LayoutSettings(tensor=tensor, pipeline=pipeline)
    model = ModelSettings(recompute="full" if tensor > 1 else "none")
    results = spawn(run_stage, layout.num_ranks, folder, model, layout, rows, row_gradients(wanted.logit_gradients, rows))

    logprobs = packed_logprobs(results, rows, shape.vocab_size)
    worst = max((found[: len(target)] - target).abs().max() for found, target in zip(logprobs, wanted.logprobs, strict=True))
    assert worst <= LOGPROB_BAR
    found = hf_gradients(results, shape, shape.padded_vocab(multiple=128, tensor=tensor))
    assert found.keys() == wanted.gradients.keys()
    assert max(relative(found[name], target) for name, target in wanted.gradients.items()) <= GRADIENT_BAR


def test_the_facts_name_every_tensor_of_the_checkpoint(folder):
    stored = load_file(folder / "model.safetensors")
    assert {short_name(name): tuple(tensor.shape) for name, tensor in stored.items()} == hf_tensors(read_shape(folder))


def test_there_and_back_is_the_same_bit_by_bit(folder, tmp_path):
    hf_to_megatron(folder, tmp_path / "megatron")
    assert compare(folder, tmp_path / "megatron").different == ()
    megatron_to_hf(tmp_path / "megatron", tmp_path / "hf")
    before, after = load_file(folder / "model.safetensors"), load_file(tmp_path / "hf" / "model.safetensors")
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
