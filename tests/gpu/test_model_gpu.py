"""The model on one GPU: the local layers in fp32 and Transformer Engine's in bf16 and FP8, against transformers in fp32."""

from __future__ import annotations

import importlib.util

import pytest

from lmm_r1_mega.config import LayoutSettings, ModelSettings
from lmm_r1_mega.data.packing import pack
from lmm_r1_mega.data.rope import VisionSpec

pytestmark = pytest.mark.gpu
BARS = {"fp32": 1e-4, "bf16": 0.1, "fp8": 0.5}


@pytest.fixture
def one_rank(tmp_path):
    import torch.distributed as dist
    from megatron.core import parallel_state, tensor_parallel

    dist.init_process_group("nccl", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    parallel_state.initialize_model_parallel()
    tensor_parallel.model_parallel_cuda_manual_seed(0)
    yield
    parallel_state.destroy_model_parallel()
    dist.destroy_process_group()


@pytest.mark.parametrize("precision", list(BARS))
def test_packed_logprobs_equal_transformers(one_rank, tmp_path, precision):
    if precision != "fp32" and importlib.util.find_spec("transformer_engine") is None:
        pytest.skip("needs Transformer Engine")
    from oracle import cases, oracle, tiny

    from lmm_r1_mega.models.build import build_model

    path = tiny(tmp_path, kv=2)
    spec = VisionSpec.load(path)
    batches = list(cases(spec).values())
    model = build_model(path, model=ModelSettings(precision=precision), layout=LayoutSettings(), role="policy")
    for batch, wanted in zip(batches, oracle(path, batches).logprobs, strict=True):
        row = pack(batch, spec=spec, multiple_of=16)  # FP8 multiplies in blocks of 16 tokens
        logits = model(row)[:, : model.shape.vocab_size].float().cpu()
        found = logits.log_softmax(-1).gather(1, row.labels[:, None])[:, 0]
        assert (found[: len(wanted)] - wanted).abs().max() <= BARS[precision]
