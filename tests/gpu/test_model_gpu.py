"""The model on one GPU against transformers in fp32: the local layers in fp32 and bf16, Transformer Engine's in bf16 and FP8."""

from __future__ import annotations

import pytest

from lmm_r1_mega.batching.packing import pack
from lmm_r1_mega.config import LayoutSettings, ModelSettings
from lmm_r1_mega.data.chat.vision_spec import VisionSpec
from lmm_r1_mega.families.registry import read_shape

pytestmark = pytest.mark.gpu
LOGPROB_BARS = {"fp32": 1e-4, "bf16": 0.1, "fp8": 0.5}
GRADIENT_BARS = {"fp32": 1e-4, "bf16": 0.1, "fp8": 0.5}


CASES = [("fp32", "local"), ("bf16", "local"), ("bf16", "transformer_engine"), ("fp8", "transformer_engine")]


@pytest.mark.parametrize(("precision", "layers"), CASES)
def test_packed_logprobs_and_gradients_equal_transformers(one_rank, tmp_path, use_layers, precision, layers):
    from oracle import cases, oracle, tiny
    from stages import hf_gradients, packed_logprobs, relative, row_gradients, run_stage

    from lmm_r1_mega.models.device import this_device

    use_layers(layers)
    assert this_device().layer_spec(precision) == layers

    path = tiny(tmp_path, kv=2)
    shape, spec = read_shape(path), VisionSpec.load(path)
    batches = list(cases(spec).values())
    rows = [pack(batch, spec=spec, multiple_of=16) for batch in batches]  # FP8 multiplies in blocks of 16 tokens
    wanted = oracle(path, batches)
    model, layout = ModelSettings(precision=precision), LayoutSettings()
    results = [run_stage(path, model, layout, rows, row_gradients(wanted.logit_gradients, rows))]

    logprobs = packed_logprobs(results, rows, shape.vocab_size)
    furthest = max(float((found[: len(target)] - target).abs().max()) for found, target in zip(logprobs, wanted.logprobs, strict=True))
    found = hf_gradients(results, shape, shape.padded_vocab(multiple=128, tensor=1))
    assert found.keys() == wanted.gradients.keys()
    worst = max(relative(found[name], target) for name, target in wanted.gradients.items())
    print(f"{precision}, {layers} layers: log-probabilities within {furthest:.2e}, gradients within {worst:.2e}")
    assert furthest <= LOGPROB_BARS[precision]
    assert worst <= GRADIENT_BARS[precision]
