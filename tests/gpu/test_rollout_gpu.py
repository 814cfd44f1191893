"""A vLLM engine on the GPU that the test itself uses too: log-probabilities, sleep, weights through CUDA IPC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.gpu


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from tools.make_tiny_model import TinyShape, make_tiny_model

    make_tiny_model(tmp_path / "model", TinyShape(hidden=128, layers=2, vocab=500, vision_depth=2, vision_hidden=64, init_range=0.06))
    return tmp_path / "model"


def test_answers_survive_sleep_and_follow_weights_sent_through_cuda_ipc(folder: Path) -> None:
    from rollout_process import SETTINGS, EngineProcess, Transformers, text_prompt

    from lmm_r1_mega.data.chat.processor import Processor
    from lmm_r1_mega.rollout.sampling import Sampling

    processor = Processor.load(folder)
    prompt, model, engine = text_prompt(processor), Transformers(folder, processor), EngineProcess(folder)
    weights = {name: tensor.cuda() for name, tensor in load_file(folder / "model.safetensors").items()}

    def export() -> Iterator[tuple[str, torch.Tensor]]:
        yield from weights.items()

    def gap() -> float:
        (completion,) = engine.generate([prompt], samples=1, sampling=Sampling(16), seed=0)[0]
        found = (model.logprobs(prompt, completion) - completion.response_logprobs).abs().max().item()
        print(f"log-probabilities within {found:.2e}")
        return found

    assert gap() <= 1e-4
    engine.sleep()
    engine.wake()
    assert gap() <= 1e-4
    weights["lm_head.weight"] *= 1.5
    model.model.lm_head.weight.data *= 1.5
    sender = AcceleratorSender(export, engine, settings=SETTINGS, backend="ipc", rank=0, host="127.0.0.1")
    sender.send(7)
    assert gap() <= 1e-4
    (completion,) = engine.generate([prompt], samples=1, sampling=Sampling(1), seed=0)[0]
    assert completion.weight_version == 7
    sender.close()
    assert engine.end() == 0
