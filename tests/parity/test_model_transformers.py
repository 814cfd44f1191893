"""Outputs and gradients of the Megatron model against transformers, for every layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from oracle import cases, oracle, tiny
from spawn import spawn
from stages import hf_gradients, last_stage, packed_logprobs, relative, row_gradients, run_stage

from lmm_r1_mega.batching.packing import pack
from lmm_r1_mega.config import LayoutSettings, ModelSettings
from lmm_r1_mega.data.chat.vision_spec import VisionSpec
from lmm_r1_mega.families.registry import read_shape

LOGPROB_BAR, GRADIENT_BAR = 1e-4, 1e-5
LAYOUTS = [(1, 1), (2, 1), (1, 2), (2, 2)]


@pytest.fixture(scope="module")
def untied(tmp_path_factory) -> Path:
    return tiny(tmp_path_factory.mktemp("untied"), kv=2)


@pytest.fixture(scope="module")
def tied(tmp_path_factory) -> Path:
    return tiny(tmp_path_factory.mktemp("tied"), kv=1, tied=True)


@pytest.mark.parametrize("tensor, pipeline", LAYOUTS)
@pytest.mark.parametrize("weights", ["untied", "tied"])
def test_logprobs_and_gradients_equal_transformers(weights, tensor, pipeline, request):
    path = request.getfixturevalue(weights)
    shape, spec = read_shape(path), VisionSpec.load(path)
    batches = list(cases(spec).values())
    rows = [pack(batch, spec=spec, multiple_of=2) for batch in batches]
    wanted = oracle(path, batches)
    layout = LayoutSettings(tensor=tensor, pipeline=pipeline)
    model = ModelSettings(recompute="full" if (tensor, pipeline) == (2, 2) else "none")
    results = spawn(run_stage, layout.num_ranks, path, model, layout, rows, row_gradients(wanted.logit_gradients, rows))

    for found, target in zip(packed_logprobs(results, rows, shape.vocab_size), wanted.logprobs, strict=True):
        assert (found[: len(target)] - target).abs().max() <= LOGPROB_BAR
    found = hf_gradients(results, shape, shape.padded_vocab(multiple=128, tensor=tensor))
    assert found.keys() == wanted.gradients.keys()
    worst = max(relative(found[name], target) for name, target in wanted.gradients.items())
    assert worst <= GRADIENT_BAR


def test_critic_reads_the_last_hidden_state(untied):
    """The head starts at zero, so every value is 0, and its gradient is the weighted sum of transformers' hidden states."""
    spec = VisionSpec.load(untied)
    batches = list(cases(spec).values())
    rows = [pack(batch, spec=spec, multiple_of=2) for batch in batches]
    hidden = row_gradients(oracle(untied, batches).hidden, rows)
    noise = torch.Generator().manual_seed(0)
    weights = [torch.randn(len(row.labels), generator=noise) * row.loss_mask for row in rows]
    layout = LayoutSettings(tensor=2, pipeline=2)
    results = spawn(run_stage, 4, untied, ModelSettings(), layout, rows, weights, "critic")

    wanted = sum(weight @ part for weight, part in zip(weights, hidden, strict=True))
    for values in last_stage(results):
        assert all(value.shape == row.labels.shape and not value.any() for value, row in zip(values, rows, strict=True))
    heads = [result.gradients["output_layer.weight"] for result in results if result.outputs]
    assert len(heads) == 2 and all(relative(head[0], wanted) <= GRADIENT_BAR for head in heads)
    assert not any("word_embeddings" in name for result in results if result.outputs for name in result.gradients)


@pytest.mark.parametrize("recompute", ["none", "full"])
def test_frozen_inputs_have_no_gradients_and_the_layers_keep_theirs(untied, recompute):
    spec, layout = VisionSpec.load(untied), LayoutSettings(tensor=2)
    batches = [cases(spec)["mixed"]]
    rows = [pack(batch, spec=spec, multiple_of=2) for batch in batches]
    wanted = oracle(untied, batches)
    model = ModelSettings(freeze=("visual.*", "model.embed_tokens.weight"), recompute=recompute)
    results = spawn(run_stage, 2, untied, model, layout, rows, row_gradients(wanted.logit_gradients, rows))
    assert not any(name.startswith(("visual.", "embedding.")) for name in results[0].gradients)
    found = torch.cat([result.gradients["decoder.layers.0.mlp.linear_fc2.weight"] for result in results], dim=1)
    assert relative(found, wanted.gradients["model.layers.0.mlp.down_proj.weight"]) <= GRADIENT_BAR
