"""Speed of an optimizer step of the Megatron engine, against the machine's own matrix products in the same precision.

OMP_NUM_THREADS=2 python benchmarks/train_step.py MODEL --rows 4 --sequences 8 --tokens 256

Prints one JSON line. Products and steps alternate, so that a change of the machine's speed meets both; the medians are given.
`share` is the step's counted operations (forward and twice as many backward; no recomputation, no optimizer) a second over those
of a square product: 1024 wide in float32 on as many threads on a CPU, 8192 wide on a GPU, in bf16 unless the precision is fp32. On
a GPU `mfu` is the share of what the manufacturer states, and `peak_gib` the most memory that tensors took.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lmm_r1_mega.algorithms.losses import Clip, PolicyLoss
from lmm_r1_mega.config import Config, ModelSettings
from lmm_r1_mega.config.device import Precision
from lmm_r1_mega.convert.flops import sequence_flops
from lmm_r1_mega.families.registry import read_shape
from lmm_r1_mega.models.device import this_device, training_device
from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable
from lmm_r1_mega.schema import PolicyTarget, Sequence
from lmm_r1_mega.training import parallel
from lmm_r1_mega.training.engine import TrainEngine

PRODUCTS = 20


def main() -> None:
    """Measure and print."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("model", type=Path, help="Hugging Face folder")
    cli.add_argument("--rows", type=int, default=4, help="packed rows of a step")
    cli.add_argument("--sequences", type=int, default=8, help="sequences of a row")
    cli.add_argument("--tokens", type=int, default=256, help="places of a sequence")
    cli.add_argument("--steps", type=int, default=5, help="measured steps")
    cli.add_argument("--precision", default="auto", help="model.precision")
    cli.add_argument("--recompute", default="none", help="model.recompute")
    asked = cli.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    make_torchvision_importable()
    precision = this_device().precision(asked.precision)
    engine = start_engine(ModelSettings(path=asked.model, precision=precision, recompute=asked.recompute))
    rows = [[random_target(asked.tokens) for _ in range(asked.sequences)] for _ in range(asked.rows)]
    loss = PolicyLoss(Clip(0.2, 0.2), temperature=1.0)
    left, right = factors(precision)
    engine.update_policy(rows, loss)
    seconds(lambda: left @ right)
    product_s, step_s = [], []
    for _ in range(asked.steps):
        product_s.append(seconds(lambda: [left @ right for _ in range(PRODUCTS)]) / PRODUCTS)
        step_s.append(seconds(lambda: engine.update_policy(rows, loss)))
    parallel.shutdown()
    num_sequences = asked.rows * asked.sequences
    operations = 3 * num_sequences * sequence_flops(read_shape(asked.model), tokens=asked.tokens)
    step, product_speed = statistics.median(step_s), 2 * len(left) ** 3 / statistics.median(product_s)
    report = {
        "device": this_device().name or "cpu",
        "precision": precision,
        "threads": torch.get_num_threads(),
        "step_s": round(step, 4),
        "tokens_per_s": round(num_sequences * asked.tokens / step, 1),
        "gflops": round(operations / step / 1e9, 1),
        "product_gflops": round(product_speed / 1e9, 1),
        "share": round(operations / step / product_speed, 3),
    }
    print(json.dumps(report | gpu_figures(operations / step, precision)))


def factors(precision: Precision) -> Tensor:
    """Two square matrices that the device multiplies at its best."""
    on_gpu = this_device().is_gpu
    width, dtype = (8192 if on_gpu else 1024), (torch.float32 if precision == "fp32" else torch.bfloat16)
    return torch.randn(2, width, width, device=training_device()).to(dtype)


def gpu_figures(flops_per_s: float, precision: Precision) -> dict[str, float]:
    """Share of the stated peak, and memory; nothing on a CPU."""
    if not this_device().is_gpu:
        return {}
    peak = peak_flops(this_device().name or "cpu", precision)
    share = {"mfu": round(flops_per_s / peak, 3)} if peak else {}
    return share | {"peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2)}


def start_engine(model: ModelSettings) -> TrainEngine:
    """An engine that is alone."""
    config = Config(model=model)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    parallel.initialize(config.layout, rank=0, rendezvous=f"tcp://127.0.0.1:{port}")
    return TrainEngine(model.path, role="policy", config=config, total_steps=1000)


def random_target(tokens: int) -> PolicyTarget:
    """A sequence of `tokens` places, a quarter of them prompt."""
    sequence = Sequence(torch.randint(0, 256, (tokens + 1,)), tokens // 4, None)
    length = sequence.response_length
    old = torch.full((length,), -5.0)
    return PolicyTarget(sequence, torch.full((length,), 1e-4), torch.randn(length), old, old)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    work()
    if this_device().is_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
