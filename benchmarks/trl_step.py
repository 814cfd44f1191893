"""TRL's GRPOTrainer on the work of `rl_step.py`, for a comparison on one machine; prints the same JSON line.

It runs in an environment of its own, since TRL and vLLM's CPU build want different packages:

    python3 -m venv /tmp/trl && /tmp/trl/bin/pip install torch==2.13.0 torchvision transformers==5.19.0 trl==1.16.0
    OMP_NUM_THREADS=2 /tmp/trl/bin/python benchmarks/trl_step.py MODEL --prompts 8 --group 8 --tokens 64 --size 112 --steps 4
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable

make_torchvision_importable()

from datasets import Dataset
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLVideoProcessor,
    TrainerCallback,
)
from trl import GRPOConfig, GRPOTrainer


class Clock(TrainerCallback):
    """Seconds of every step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_: object, **__: object) -> None:
        self._start = time.perf_counter()

    def on_step_end(self, *_: object, **__: object) -> None:
        self.seconds.append(time.perf_counter() - self._start)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    cli.add_argument("model")
    for name, value in {"prompts": 8, "group": 8, "tokens": 64, "size": 112, "steps": 4}.items():
        cli.add_argument(f"--{name}", type=int, default=value)
    cli.add_argument("--free", action="store_true", help="end at EOS instead of after exactly --tokens")
    options = cli.parse_args()
    torch.manual_seed(0)
    colors = torch.randint(0, 256, (options.prompts * options.steps, 3)).tolist()
    rows = [
        {
            "prompt": [{"role": "user", "content": "How many circles?"}],
            "image": Image.new("RGB", (options.size, options.size), tuple(color)),
        }
        for color in colors
    ]
    lengths: list[int] = []

    def reward(completion_ids: list[list[int]], **_: object) -> list[float]:
        lengths.extend(len(ids) for ids in completion_ids)
        return [float(sum(ids) % 2) for ids in completion_ids]

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    tokenizer.padding_side = "left"
    processor = Qwen2_5_VLProcessor(
        image_processor=AutoImageProcessor.from_pretrained(options.model, min_pixels=options.size**2, max_pixels=options.size**2),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=tokenizer.chat_template,
    )
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(options.model, dtype=torch.float32)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=folder,
            per_device_train_batch_size=options.prompts * options.group,
            num_generations=options.group,
            max_completion_length=options.tokens,
            max_steps=options.steps,
            learning_rate=1e-6,
            beta=0.0,
            temperature=1.0,
            bf16=False,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            gradient_checkpointing=False,
            generation_kwargs={} if options.free else {"min_new_tokens": options.tokens},
        )
        trainer = GRPOTrainer(
            model, reward, args=config, train_dataset=Dataset.from_list(rows), processing_class=processor, callbacks=[clock]
        )
        trainer.train()
    samples = options.prompts * options.group
    counted = clock.seconds[1:]
    step_s = sum(counted) / len(counted)
    tokens = sum(lengths[samples:]) / len(counted)
    print(json.dumps({"system": "trl", "step_s": step_s, "samples_per_s": samples / step_s, "tokens_per_s": tokens / step_s}))


if __name__ == "__main__":
    main()
