"""GPU tests share the judge of the parity tests, and say why they skip."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "parity"))


@pytest.fixture(autouse=True)
def needs_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device; this machine has none")


@pytest.fixture
def use_layers(monkeypatch) -> Callable[[str], None]:
    """Choose between `local` and `transformer_engine` layers for models in bf16; skips where the latter is not installed."""

    def use(layers: str) -> None:
        if layers == "local":
            monkeypatch.setitem(sys.modules, "transformer_engine", None)  # as where it is not installed
        elif importlib.util.find_spec("transformer_engine") is None:
            pytest.skip("needs Transformer Engine")

    return use


@pytest.fixture
def one_rank(tmp_path):
    import torch.distributed as dist
    from megatron.core import parallel_state

    dist.init_process_group("nccl", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    yield
    parallel_state.destroy_model_parallel()
    dist.destroy_process_group()
