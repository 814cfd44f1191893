"""One step at sizes of real use: a vocabulary of 151936, images of a megapixel, TP 2, from vLLM to the exported model.

The largest is half a billion parameters and 32 responses of 1024 tokens: an hour of two cores. Each prints a table of its processes'
memory beside what `lmm-r1-mega plan` says for the same settings:

    python -m pytest -m slow tests/e2e/test_real_step.py -s -k half_a_billion
"""

import contextlib
import json
import math
import os
import random
import re
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from PIL import Image

from lmm_r1_mega.record.checkpoints import newest_checkpoint

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "examples" / "models" / "Qwen2.5-VL-3B-Instruct" / "config.json"
GIB = 2**30
LIMIT_BYTES = 24 * GIB
SIDE = 1024
IMAGE_TOKENS = 36 * 37
"""Of such an image within a megapixel."""
REWARD = '''"""Pays for nothing that can be learned, but differently."""

import zlib


def reward_func(queries, prompts, labels):
    return [zlib.crc32(query.encode()) % 100 / 100 for query in queries]
'''


@dataclass(frozen=True)
class Size:
    """What a step consists of."""

    layers: int
    """Of the decoder."""
    depth: int
    """Of the vision tower."""
    prompts: int
    samples: int
    """Of a prompt."""
    response_tokens: int
    samples_per_row: int
    """That share their prompt and its image."""
    freeze: tuple[str, ...] = ()


SIZES = {
    "two_layers": Size(layers=2, depth=2, prompts=1, samples=4, response_tokens=64, samples_per_row=4),
    "one_row": Size(layers=12, depth=8, prompts=1, samples=8, response_tokens=256, samples_per_row=8, freeze=("visual.*",)),
    "half_a_billion": Size(layers=24, depth=8, prompts=8, samples=4, response_tokens=1024, samples_per_row=2, freeze=("visual.*",)),
}


def write_model(folder: Path, size: Size) -> Path:
    """Random weights in the dimensions of Qwen2.5's smallest decoder, behind a narrow tower."""
    config = json.loads(PUBLISHED.read_text())
    config |= {"hidden_size": 896, "intermediate_size": 4864, "num_attention_heads": 14, "num_hidden_layers": size.layers}
    config["rope_scaling"] = {"type": "mrope", "mrope_section": [8, 12, 12]}
    config["vision_config"] |= {"depth": size.depth, "hidden_size": 512, "intermediate_size": 1408, "num_heads": 8, "out_hidden_size": 896}
    config["vision_config"]["fullatt_block_indexes"] = [size.depth // 2 - 1, size.depth - 1]
    shape = folder / "shape"
    shape.mkdir()
    (shape / "config.json").write_text(json.dumps(config))
    subprocess.run(
        [sys.executable, ROOT / "tools" / "make_random_model.py", shape, folder / "model"], check=True, stdout=subprocess.DEVNULL
    )
    return folder / "model"


def write_rows(folder: Path, count: int) -> Path:
    """Questions, each about an image of its own."""
    lines = []
    for index in range(count):
        noise = random.Random(index).randbytes(3 * 64 * 64)
        Image.frombytes("RGB", (64, 64), noise).resize((SIDE, SIDE)).save(folder / f"{index}.png")
        turn = {
            "role": "user",
            "content": [{"type": "image", "image": f"{index}.png"}, {"type": "text", "text": f"How many circles? {index}"}],
        }
        lines.append(json.dumps({"message": [turn], "answer": str(index)}))
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_settings(folder: Path, size: Size) -> Path:
    (folder / "reward.py").write_text(REWARD)
    prompt_tokens = IMAGE_TOKENS + 40
    kv_tokens = size.prompts * (prompt_tokens + size.samples * size.response_tokens)  # of 1 KiB a layer: all samples at once
    settings = {
        "model": {"path": str(write_model(folder, size)), "recompute": "full", "freeze": list(size.freeze)},
        "layout": {"tensor": 2, "max_tokens_per_microbatch": prompt_tokens + size.samples_per_row * size.response_tokens},
        "data": {"train": [str(write_rows(folder, size.prompts))], "max_pixels": SIDE**2, "max_prompt_tokens": prompt_tokens},
        "rollout": {
            "max_response_tokens": size.response_tokens,
            "max_sequences": 32,
            "kv_cache_gib": 0.1 + kv_tokens * size.layers / 2**20,
        },
        "algorithm": {"prompts_per_step": size.prompts, "samples_per_prompt": size.samples},
        "reward": {"function": str(folder / "reward.py"), "weights": {"function": 1.0}, "workers": 1},
        "optimizer": {"learning_rate": 1e-4},
        "run": {"folder": str(folder / "run"), "steps": 1},
        "cluster": {"start_timeout_s": 3600, "step_timeout_s": 6 * 3600},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@dataclass
class Watched:
    """Memory of a process tree: proportional set sizes, in which shared pages are divided among those that share them."""

    total: int = 0
    """At the worst moment."""
    by_phase: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    """The largest process of every kind in every phase of its own: Ray names a worker after what it does."""

    def look(self, root: psutil.Process) -> None:
        total = 0
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                size, (kind, phase) = process.memory_full_info().pss, kind_and_phase(process)
                total += size
                self.by_phase[kind][phase] = max(self.by_phase[kind][phase], size)
        self.total = max(self.total, total)

    def peak(self, kind: str) -> int:
        return max(self.by_phase[kind].values())


def kind_and_phase(process: psutil.Process) -> tuple[str, str]:
    title = " ".join(process.cmdline())
    actor = re.match(r"ray::(\w+)(?:\.(\w+))?", title)
    if actor:
        return actor[1], actor[2] or "waits"
    return ("driver" if "lmm_r1_mega.cli" in title else process.name()), ""


@contextlib.contextmanager
def watched(root: psutil.Process) -> Iterator[Watched]:
    memory, ended = Watched(), threading.Event()

    def watch() -> None:
        while not ended.wait(1.0):
            with contextlib.suppress(psutil.Error):
                memory.look(root)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield memory
    finally:
        ended.set()
        thread.join()


def lmm_r1_mega(*arguments: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-W", "ignore", "-m", "lmm_r1_mega.cli", *arguments]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}, text=True, **options)


def planned(plan: dict) -> dict[str, int]:
    """What the plan says of the largest process of a kind, and of all together."""
    return {"TrainWorker": plan["stages"][0]["peak"], "RolloutWorker": plan["engine"]["budget"], "all": plan["verdict"]["host"]}


def table(memory: Watched, plan: dict) -> str:
    rows = [(size, kind, phase) for kind, phases in memory.by_phase.items() for phase, size in phases.items() if size > GIB // 20]
    lines = [f"{kind:16} {phase:24} {size / GIB:6.2f} GiB" for size, kind, phase in sorted(rows, reverse=True)]
    lines += [f"{'all':16} {'at the worst moment':24} {memory.total / GIB:6.2f} GiB"]
    return "\n".join([*lines, *(f"{kind:16} {'by the plan':24} {size / GIB:6.2f} GiB" for kind, size in planned(plan).items())])


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("name", SIZES)
def test_a_step_from_images_to_the_exported_model(tmp_path, name):
    size = SIZES[name]
    config = write_settings(tmp_path, size)
    plan = json.loads(lmm_r1_mega("plan", str(config), "--json", stdout=subprocess.PIPE).communicate()[0])
    process = lmm_r1_mega("train", str(config), stderr=subprocess.PIPE)
    with watched(psutil.Process(process.pid)) as memory:
        _, said = process.communicate()
    print(f"\n{table(memory, plan)}")
    assert process.returncode == 0, said
    run = tmp_path / "run"
    assert (run / "summary.json").is_file()
    [row] = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    print(json.dumps(row, indent=1))
    assert all(math.isfinite(value) for value in row.values())
    assert row["samples/trained"] == size.samples * size.prompts
    assert row["completions/mean_length"] > 0.97 * size.response_tokens
    assert row["mismatch/abs_max"] < 1e-3 and row["grad_norm"] > 0
    assert newest_checkpoint(run / "checkpoints").step == 1
    assert_moved(tmp_path / "model", run / "hf")
    assert memory.total < LIMIT_BYTES
    measured = {kind: memory.total if kind == "all" else memory.peak(kind) for kind in planned(plan)}
    assert all(measured[kind] < 1.15 * size for kind, size in planned(plan).items()), "the plan promises too much room"


def assert_moved(start: Path, end: Path) -> None:
    from transformers import Qwen2_5_VLForConditionalGeneration

    before, after = (Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32) for folder in (start, end))
    moved = {name for name, weight in after.named_parameters() if not torch.equal(weight, before.get_parameter(name))}
    assert {name for name, _ in after.named_parameters() if "language_model" in name} <= moved
