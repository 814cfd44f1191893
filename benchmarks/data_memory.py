"""Memory of the way of images, from their files to packed rows: `python benchmarks/data_memory.py`.

Prompts with an image of a million pixels each are taken from a stream and sent to a process that stands for a rollout engine; then
all their samples are sent, as `Trainers` sends them, to processes that stand for trainer ranks, which pack every row and make the
vision tower's numbers of it. Everything is the run's own but for the model. The next step's prompts are being built meanwhile.

One line of JSON: the largest sum of the proportional set sizes of this process and all below it (Ray's daemons among them), and what
they had before the first image.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from memory import Peak, memory
from PIL import Image

from lmm_r1_mega.batching.balance import assign_microbatches
from lmm_r1_mega.batching.packing import pack
from lmm_r1_mega.batching.sharing import num_positions
from lmm_r1_mega.cluster.images import put_images, ray  # Ray is imported after what it reads is settled
from lmm_r1_mega.cluster.session import ray_session
from lmm_r1_mega.config import ClusterSettings, DataSettings
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.chat.vision_spec import VisionSpec
from lmm_r1_mega.data.images.patches import PixelScale, as_pil_images
from lmm_r1_mega.data.stream.stream import PromptStream
from lmm_r1_mega.schema import Prompt, Sequence
from tools.make_tiny_model import TinyShape, make_tiny_model

RESPONSE_TOKENS, ROW_TOKENS = 256, 8192


@ray.remote(num_cpus=0.01)
class Engine:
    """Makes of the prompts what vLLM is given, one after the other."""

    def generate(self, prompts: list[Prompt], *, merge_size: int) -> int:
        return sum(image.width * image.height for prompt in prompts for image in as_pil_images(prompt.images, merge_size=merge_size))


@ray.remote(num_cpus=0.01)
class Rank:
    """Packs its rows and makes the vision tower's numbers, one row after the other."""

    def pack(self, rows: list[list[Sequence]], *, spec: VisionSpec, scale: PixelScale) -> tuple[int, int]:
        packed = (pack(sequences, spec=spec) for sequences in rows)
        sizes = [(len(row.input_ids), len(scale.pixel_values(row.images.patches))) for row in packed if row.images is not None]
        return sum(places for places, _ in sizes), sum(patches for _, patches in sizes)


def write_prompts(folder: Path, count: int, *, side: int) -> Path:
    """Rows with a JPEG of `side` x `side` pixels each, no two alike."""
    noise = np.random.default_rng(0)
    rows = []
    for index in range(count):
        coarse = Image.fromarray(noise.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        coarse.resize((side, side)).save(folder / f"{index}.jpg", quality=90)
        question = [{"type": "image", "image": f"{index}.jpg"}, {"type": "text", "text": "What is this ?"}]
        rows.append(json.dumps({"message": [{"role": "user", "content": question}], "answer": "1"}) + "\n")
    path = folder / "prompts.jsonl"
    path.write_text("".join(rows), encoding="utf-8")
    return path


def step(stream: PromptStream, processor: Processor, *, prompts: int, samples: int, ranks: int, calls: int) -> dict[str, int]:
    """Takes prompts, sends them to an engine, and their samples to the ranks."""
    engine, workers = Engine.remote(), [Rank.remote() for _ in range(ranks)]
    taken = stream.take(prompts)
    put_images(prompt.images for prompt in taken)
    pixels = ray.get(engine.generate.remote(taken, merge_size=processor.spec.merge_size))
    response = torch.zeros(RESPONSE_TOKENS, dtype=torch.long)
    sequences = [
        Sequence(torch.cat([torch.tensor(prompt.expanded_ids), response]), len(prompt.expanded_ids), prompt.images)
        for prompt in taken
        for _ in range(samples)
    ]
    places = [num_positions(sequence) for sequence in sequences]
    assigned = assign_microbatches(places, places, budget=ROW_TOKENS, num_ranks=ranks)
    for _ in range(calls):
        stored = [ray.put([[sequences[index] for index in row] for row in rank]) for rank in assigned]
        sent = zip(workers, stored, strict=True)
        packed = ray.get([worker.pack.remote(rows, spec=processor.spec, scale=processor.pixel_scale) for worker, rows in sent])
    return {
        "pixels": pixels,
        "positions": sum(positions for positions, _ in packed),
        "tower_patches": sum(patches for _, patches in packed),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--side", type=int, default=1008, help="pixels of an image's side, a multiple of 28")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--calls", type=int, default=1, help="times that the samples are sent")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tiny_model(folder / "model", TinyShape(hidden=64, layers=1, vision_depth=1))
        processor = Processor.load(folder / "model", max_pixels=asked.side**2)
        data = write_prompts(folder, asked.prompts, side=asked.side)
        stream = PromptStream(DataSettings(train=(data,)), processor, seed=0)
        with ray_session(ClusterSettings(), num_processes=asked.ranks + 1):
            before, start = memory(), time.perf_counter()
            peak = Peak()
            done = step(stream, processor, prompts=asked.prompts, samples=asked.samples, ranks=asked.ranks, calls=asked.calls)
            seconds = time.perf_counter() - start
            figures = {"peak_gib": round(peak.end() / 2**30, 2), "before_gib": round(before / 2**30, 2), "seconds": round(seconds, 1)}
        print(json.dumps(vars(asked) | done | figures))


if __name__ == "__main__":
    main()
