"""Seconds of a GRPO step (no KL) with one image a prompt: real vLLM, Megatron and Ray; prints one JSON line.

    python benchmarks/rl_step.py MODEL --prompts 8 --group 8 --tokens 64 --size 112 --steps 4

Each completion has exactly --tokens tokens; with --free it ends at the end-of-turn token. The first step warms up and is not
counted. `trl_step.py` does the same work with TRL's GRPOTrainer.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import tyro
from prompts import write_image_prompts

from lmm_r1_mega.algorithms.controllers import make_controllers
from lmm_r1_mega.cluster.engines import RolloutEngines
from lmm_r1_mega.cluster.placement import place_processes
from lmm_r1_mega.cluster.session import ray_session
from lmm_r1_mega.cluster.trainers import Trainers
from lmm_r1_mega.config import Config
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.stream.stream import PromptStream
from lmm_r1_mega.driver.learning import annotate, estimate, policy_loss, update
from lmm_r1_mega.planning.checks import gpus_needed
from lmm_r1_mega.rollout.engine import Sampling
from lmm_r1_mega.schema import Sample, Score, Scored

PHASES = ("generate", "annotate", "update", "publish")
T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """What a step consists of."""

    prompts: int = 8
    """Prompts of a step."""
    group: int = 8
    """Completions of a prompt."""
    tokens: int = 64
    """Tokens of a completion, with --free at most."""
    size: int = 112
    """Pixels along a side of the image."""
    steps: int = 4
    """Steps, the first of which is not counted."""
    free: bool = False
    """End at the end-of-turn token."""
    tensor: int = 1
    """Tensor-parallel size of the trainer."""
    pipeline: int = 1
    """Pipeline stages of the trainer."""
    data: int = 2
    """Data-parallel ranks of the trainer, one thread each."""
    engines: int = 2
    """vLLM engines, one thread each."""
    gpu_memory: float = 0.6
    """Share of a GPU's memory for an engine; the trainer needs the rest."""


DEFAULT = Options()


@dataclass
class Times:
    """Seconds of each phase, one number a step."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {phase: [] for phase in PHASES})

    def run(self, phase: str, work: Callable[[], T]) -> T:
        """Do the work of a phase and note how long it took."""
        start = time.perf_counter()
        result = work()
        self.seconds[phase].append(time.perf_counter() - start)
        return result


@dataclass
class Bench:
    """The processes and what they work on."""

    config: Config
    engines: RolloutEngines
    trainers: Trainers
    prompts: PromptStream
    forbidden_ids: tuple[int, ...]
    times: Times = field(default_factory=Times)

    def step(self, step: int, sampling: Sampling) -> list[Sample]:
        """Generate, annotate, update, publish, as the training loop does."""
        config, run = self.config, self.times.run
        prompts, group = self.prompts.take(config.algorithm.prompts_per_step), config.algorithm.samples_per_prompt
        with self.engines.awake():
            samples = run("generate", lambda: self.engines.generate(prompts, samples=group, sampling=sampling, seed=step))
        scored = [Scored(sample, Score(float(sample.completion.response_ids.sum() % 2), {})) for sample in samples]
        controllers = make_controllers(config)
        annotated = run("annotate", lambda: annotate(self.trainers, scored, config, forbidden_ids=self.forbidden_ids))
        advantages = estimate(annotated, config.algorithm, controllers)
        loss = policy_loss(config, controllers, forbidden_ids=self.forbidden_ids, step=step)
        run("update", lambda: update(self.trainers, annotated, advantages, config, loss=loss))
        with self.engines.awake():
            run("publish", lambda: self.trainers.publish(self.engines.actors, version=step + 1))
        return samples


def main(model: tyro.conf.Positional[Path], options: tyro.conf.OmitArgPrefixes[Options] = DEFAULT) -> None:
    """Time GRPO steps on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        rows = write_image_prompts(Path(folder), options.prompts * options.steps, size=options.size)
        config = _config(model, rows, options)
        processor = Processor.load(model, min_pixels=config.data.min_pixels, max_pixels=config.data.max_pixels)
        with ray_session(config.cluster, num_processes=gpus_needed(config, num_trainers=config.layout.num_ranks)):
            placement = place_processes(config, num_trainers=config.layout.num_ranks)
            engines = RolloutEngines(config, placement, model, max_images=1)
            engines.make_room()
            trainers = Trainers(config, placement)
            trainers.load("policy", model, total_steps=options.steps)
            engines.wait_until_ready()
            bench = Bench(config, engines, trainers, PromptStream(config.data, processor, seed=0), processor.forbidden_ids)
            print(json.dumps(_measure(bench, options)))


def _config(model: Path, rows: Path, options: Options) -> Config:
    return Config.model_validate(
        {
            "model": {"path": model},
            "layout": {"tensor": options.tensor, "pipeline": options.pipeline, "data": options.data, "max_tokens_per_microbatch": 2048},
            "data": {"train": [rows], "max_prompt_tokens": 256, "min_pixels": options.size**2, "max_pixels": options.size**2},
            "rollout": {
                "engines": options.engines,
                "gpu_memory": options.gpu_memory,
                "max_response_tokens": options.tokens,
                "max_sequences": options.prompts * options.group,
            },
            "algorithm": {"name": "grpo", "prompts_per_step": options.prompts, "samples_per_prompt": options.group},
        }
    )


def _measure(bench: Bench, options: Options) -> dict[str, object]:
    sampling = replace(Sampling.of(bench.config.rollout), ignore_eos=not options.free)
    seconds, lengths = [], []
    for step in range(options.steps):
        start = time.perf_counter()
        samples = bench.step(step, sampling)
        seconds.append(time.perf_counter() - start)
        lengths.append(sum(len(sample.completion.response_ids) for sample in samples))
    return _summary(options, bench.times, seconds, lengths)


def _summary(options: Options, times: Times, steps: list[float], lengths: list[int]) -> dict[str, object]:
    step_s, samples = fmean(steps[1:]), options.prompts * options.group
    phases = {phase: round(fmean(seconds[1:]), 4) for phase, seconds in times.seconds.items()}
    phases["other"] = round(step_s - sum(phases.values()), 4)
    return {
        "system": "lmm_r1_mega",
        "step_s": step_s,
        "samples_per_s": samples / step_s,
        "tokens_per_s": fmean(lengths[1:]) / step_s,
        "mean_length": fmean(lengths[1:]) / samples,
        "phases": phases,
    }


if __name__ == "__main__":
    tyro.cli(main)
