"""Bandwidth of a weight update of a vLLM engine in another process, against a plain memory copy on the same machine.

python benchmarks/weight_sync.py MODEL

Prints one JSON line. The trainer fills one segment while the engine loads the other, so the slower side decides; `phases_s`
says what the time goes to: `fill` is the trainer alone, `load` the engine, of it `digest` the check of the bytes and `pack` the
packing of linear weights for oneDNN, which vLLM does after every load on a CPU.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from lmm_r1_mega.config import RolloutSettings
from lmm_r1_mega.rollout.transfer.sender import LARGEST_BUCKET_BYTES, SharedMemorySender

COPY_BYTES = 2**28
Phases = dict[str, float]


class Engine:
    """A `SyncClient` of an engine in a child process; counts the seconds of each call."""

    def __init__(self, model: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(model, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._connection.recv()
        self.seconds: Phases = defaultdict(float)

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        self._call("init_weight_transfer_engine", init_info)

    def start_weight_update(self) -> None:
        self._call("start_weight_update")

    def update_weights(self, update_info: dict[str, Any]) -> None:
        self._call("update_weights", update_info)

    def finish_weight_update(self, weight_version: int) -> None:
        self._call("finish_weight_update", weight_version)

    def inner_seconds(self) -> Phases:
        """Seconds inside the engine since the last question."""
        return self._call("inner_seconds")

    def close(self) -> None:
        self._connection.send(None)
        self._process.join(60)
        self._process.kill()

    def _call(self, method: str, *arguments: Any) -> Any:
        start = time.perf_counter()
        self._connection.send((method, arguments))
        result = self._connection.recv()
        self.seconds[method] += time.perf_counter() - start
        return result


class Nobody:
    """A client that throws everything away: what is left is the trainer's own work."""

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None: ...

    def start_weight_update(self) -> None: ...

    def update_weights(self, update_info: dict[str, Any]) -> None: ...

    def finish_weight_update(self, weight_version: int) -> None: ...


def serve(model: Path, connection: Connection) -> None:
    """The child process: an engine whose digests and packing are timed."""
    from lmm_r1_mega.rollout.engine import PromptLimits, RolloutEngine

    settings = RolloutSettings(max_response_tokens=16, kv_cache_gib=0.1, max_sequences=8)
    limits = PromptLimits(max_tokens=64, max_images=1)
    engine = RolloutEngine(model, settings=settings, precision="fp32", limits=limits, placement="hybrid", seed=0)
    from vllm import _custom_ops as vllm_ops

    from lmm_r1_mega.rollout.transfer.bucket import Attached

    seconds: Phases = defaultdict(float)
    time_calls(Attached, "tensor", seconds, name="digest")
    time_calls(vllm_ops, "create_onednn_mm", seconds, name="pack")
    connection.send("ready")
    while (message := connection.recv()) is not None:
        method, arguments = message
        if method == "inner_seconds":
            connection.send(dict(seconds))
            seconds.clear()
        else:
            connection.send(getattr(engine, method)(*arguments))
    engine.close()


def time_calls(owner: object, attribute: str, seconds: Phases, *, name: str) -> None:
    """Add the time of every later call of `owner.attribute` to `seconds[name]`."""
    function = getattr(owner, attribute)

    def call(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            seconds[name] += time.perf_counter() - start

    setattr(owner, attribute, call)


def fastest(action: Callable[[], None], repeats: int) -> float:
    """Seconds of the fastest of several runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def copy_seconds_per_byte(repeats: int) -> float:
    """Of a plain copy between two warm buffers in one process."""
    source, target = torch.ones(COPY_BYTES, dtype=torch.uint8), torch.zeros(COPY_BYTES, dtype=torch.uint8)
    return fastest(lambda: target.copy_(source), repeats) / COPY_BYTES


def sync_phases(weights: dict[str, Tensor], engine: Engine, repeats: int) -> tuple[float, Phases]:
    """Seconds of the fastest update, and what it spent them on."""
    sender = SharedMemorySender(weights.items, engine, bucket_bytes=LARGEST_BUCKET_BYTES, deadline_s=60)
    best, phases = float("inf"), {}
    for version in range(repeats + 1):  # the first touches fresh memory on both sides
        engine.seconds.clear()
        seconds = fastest(partial(sender.send, version), 1)
        calls, inner = dict(engine.seconds), engine.inner_seconds()
        if version and seconds < best:
            best = seconds
            phases = {
                "start": calls["start_weight_update"],
                "load": calls["update_weights"],
                **inner,
                "finish": calls["finish_weight_update"],
            }
    sender.close()
    return best, phases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="Hugging Face folder")
    parser.add_argument("--repeats", type=int, default=5, help="measured updates; the fastest counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    weights = {name: tensor.float() for name, tensor in load_file(options.model / "model.safetensors").items()}
    num_bytes = sum(tensor.nbytes for tensor in weights.values())
    alone = SharedMemorySender(weights.items, Nobody(), bucket_bytes=LARGEST_BUCKET_BYTES, deadline_s=60)
    fill = fastest(lambda: alone.send(0), options.repeats)
    alone.close()
    engine = Engine(options.model)
    sync, phases = sync_phases(weights, engine, options.repeats)
    engine.close()
    copy = copy_seconds_per_byte(options.repeats)
    report = {
        "model_gb": num_bytes / 1e9,
        "sync_s": sync,
        "sync_gb_per_s": num_bytes / sync / 1e9,
        "copy_gb_per_s": 1e-9 / copy,
        "share_of_copy": copy * num_bytes / sync,
        "phases_s": {"fill": fill, **phases},
    }
    print(json.dumps(_rounded(report)))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return round(value, 3)


if __name__ == "__main__":
    main()
