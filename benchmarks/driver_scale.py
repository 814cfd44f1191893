"""The driver at the sizes of the recipes: `python benchmarks/driver_scale.py examples/configs/fre_70b.yaml [--share 0.25 1]`.

One step's prompts, messages, rewards, rows, estimators, optimizer steps and records are the program's own, with every number of the
recipe. An engine and a rank for each data rank are Ray actors that answer at once with numbers of the right shapes. Responses are of
log-uniform lengths between a 64th of the limit and the limit, the first of them at it; `--full` has all at the limit.

A JSON line a share of the recipe's prompts: samples, mean tokens of a response, CPU milliseconds of the driver's process (all threads) a
sample by phase, and in all, bytes of messages a sample (each message once), the driver's peak memory and what it was before the step.
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from lmm_r1_mega.algorithms.controllers import make_controllers
from lmm_r1_mega.algorithms.losses import PolicyLoss
from lmm_r1_mega.cluster.columns import Column
from lmm_r1_mega.cluster.engines import RolloutEngines
from lmm_r1_mega.cluster.messages import Completions, MicrobatchSequences, TargetColumns
from lmm_r1_mega.cluster.session import ray, ray_session  # Ray is imported after what it reads is settled
from lmm_r1_mega.cluster.trainers import Trainers
from lmm_r1_mega.cluster.workers import PolicyView, RankInfo
from lmm_r1_mega.config import Config
from lmm_r1_mega.config.reading import read_config, to_yaml
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.stream.stream import PromptStream
from lmm_r1_mega.driver.learning import annotate, estimate, policy_loss, update
from lmm_r1_mega.driver.rollouts import Rollouts
from lmm_r1_mega.driver.run import Run, load_models
from lmm_r1_mega.families.registry import read_shape
from lmm_r1_mega.record.run_logger import RunLogger, open_run_logger
from lmm_r1_mega.rewards.total import Rewards
from lmm_r1_mega.rewards.workers.pool import RewardPool
from lmm_r1_mega.rollout.engine import Sampling
from lmm_r1_mega.schema import Completion, Prompt, UpdateReport

MODEL = Path("examples/quickstart/model")
WORDS = 100
"""Of a question."""
SHORTEST = 64
"""The limit over the shortest response."""
STEPS = 2
"""The second has the first one's samples beside its own, as a run does."""


class Counted:
    """An actor that knows the bytes of what it was sent and sent back."""

    def __init__(self) -> None:
        self._bytes = 0

    def num_bytes(self) -> int:
        return self._bytes

    def count(self, message: Any) -> Any:
        """The message itself, when its bytes have been added."""
        buffers: list[pickle.PickleBuffer] = []
        self._bytes += len(pickle.dumps(message, protocol=5, buffer_callback=buffers.append))
        self._bytes += sum(buffer.raw().nbytes for buffer in buffers)
        return message


@ray.remote(num_cpus=0.01)
class Engine(Counted):
    """Stands for a rollout engine."""

    def __init__(self, *, full: bool) -> None:
        super().__init__()
        self._full = full

    def answer(self, prompts: list[Prompt], *, samples: int, sampling: Sampling, seed: int) -> Completions:
        draw, longest, total = random.Random(seed), sampling.max_response_tokens, samples * len(prompts)
        lengths = [longest if self._full else int(longest * SHORTEST ** (-i / total)) for i in range(total)]
        draw.shuffle(lengths)
        groups = [[self._one(prompt, lengths.pop(), draw.randint(3, 6)) for _ in range(samples)] for prompt in self.count(prompts)]
        return self.count(Completions.of(groups))

    def _one(self, prompt: Prompt, length: int, answer: int) -> Completion:
        text = f"<think>{'so ' * (length - 6)}</think><answer>{answer}</answer>"
        return Completion(prompt.expanded_ids, torch.arange(300, 300 + length), torch.full((length,), -1.0), text, "stop", 0)


@ray.remote(num_cpus=0.01)
class Rank(Counted):
    """Stands for all ranks of a data rank."""

    def load(self, role: str, path: Path, *, total_steps: int) -> None:
        """A model that is not there."""

    def take_snapshot(self, name: str) -> None:
        """Nor is its copy."""

    def update_policy(self, rows: MicrobatchSequences, targets: TargetColumns, loss: PolicyLoss) -> tuple[UpdateReport, Column]:
        self.count(rows)
        return self._report(targets), self._numbers(rows)

    def logprobs(self, rows: MicrobatchSequences, view: PolicyView) -> Column:
        return self._numbers(rows)

    def values(self, rows: MicrobatchSequences) -> Column:
        return self._numbers(rows)

    def update_values(self, rows: MicrobatchSequences, targets: TargetColumns, *, value_clip: float) -> UpdateReport:
        return self._report(targets)

    def _report(self, targets: TargetColumns) -> UpdateReport:
        self.count(targets)
        return UpdateReport(0.0, 1.0, 1e-6, {"entropy": 1.0})

    def _numbers(self, rows: MicrobatchSequences) -> Column:
        lengths = rows.token_ids.lengths - np.array(rows.prompt_lengths)
        return self.count(Column(np.full(lengths.sum(), -1.0, dtype=np.float32), lengths))


class StandInEngines(RolloutEngines):
    """The driver's side of the engines."""

    def __init__(self, config: Config, *, full: bool) -> None:
        self.actors = [Engine.remote(full=full)]
        self._timeout_s, self._sleeps = config.cluster.step_timeout_s, False


class StandInTrainers(Trainers):
    """The driver's side of the trainer."""

    def __init__(self, config: Config) -> None:
        self._config, self._shape, self._sent = config, read_shape(config.model.path), WeakKeyDictionary()
        self._workers = [Rank.remote() for _ in range(config.layout.data)]
        self._rank_infos = [RankInfo(rank, returns_results=True, peak_flops=None) for rank in range(config.layout.data)]


@dataclass
class Figures:
    """What the steps took of the driver."""

    cpu_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the CPU seconds inside."""
        start = time.process_time()
        yield
        self.cpu_s[name] = self.cpu_s.get(name, 0.0) + time.process_time() - start


@contextmanager
def processes(config: Config) -> Iterator[tuple[RewardPool, RunLogger]]:
    """What a run opens, but for its models."""
    session = ray_session(config.cluster, num_processes=1 + config.layout.data)
    with session, RewardPool(config.reward) as pool, open_run_logger(config, to_yaml(config), verb="train", resume_after=None) as book:
        yield pool, book


class Driver:
    """A run whose engine and ranks answer at once."""

    def __init__(self, config: Config, pool: RewardPool, book: RunLogger, *, full: bool = False) -> None:
        self.figures, processor = Figures(), Processor.load(config.model.path)
        engines, rewards = StandInEngines(config, full=full), Rewards(pool, pool.weights)
        rollouts = Rollouts(config, PromptStream(config.data, processor, seed=0), engines, rewards, phase=self.figures.phase)
        self.run = Run(config, book, rollouts, {}, rewards, StandInTrainers(config), engines, make_controllers(config), (), 2)
        load_models(config, self.run.trainers)

    def steps(self) -> int:
        """The body of `train.run_steps` without weights that move; how many samples were asked for."""
        run, phase, config, num_samples = self.run, self.figures.phase, self.run.config, 0
        for step in range(config.run.steps):
            samples = run.rollouts.take(0)
            with phase("annotate"):
                annotated = annotate(run.trainers, samples.scored, config, forbidden_ids=())
            with phase("estimate"):
                advantages = estimate(annotated, config.algorithm, run.controllers)
            with phase("update"):
                updates = update(
                    run.trainers, annotated, advantages, config, loss=policy_loss(config, run.controllers, forbidden_ids=(), step=0)
                )
            with phase("record"), run.logger.phase("record"):
                run.record(step, samples, annotated, advantages, updates)
            num_samples += samples.accounting.dispatched
        return num_samples

    def num_bytes(self) -> int:
        """Of all messages so far, each once."""
        actors = [*self.run.engines.actors, *self.run.trainers._workers]
        return sum(ray.get([actor.num_bytes.remote() for actor in actors]))


def write_prompts(path: Path, count: int) -> Path:
    """Questions in words, each with an answer."""
    question = "What is the sum of 6 and 3 , and why is it so ? " * (WORDS // 14)
    rows = ({"message": [{"role": "user", "content": f"{index} {question}"}], "answer": str(3 + index % 4)} for index in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def config_of(arguments: list[str], folder: Path, *, share: float) -> Config:
    """The recipe with a share of its prompts, on the quickstart's tokenizer."""
    recipe = read_config(arguments)
    prompts = round(recipe.algorithm.prompts_per_step * share)
    rows = write_prompts(folder / f"prompts_{prompts}.jsonl", 2 * STEPS * prompts)
    own = {"model.path": MODEL, "data.train": rows, "run.folder": folder / f"run_{prompts}", "run.steps": STEPS, "reward.workers": 2}
    own |= {"algorithm.prompts_per_step": prompts, "data.shuffle": "false", "cluster.gpus_per_node": 0, "cluster.nodes": 1}
    return read_config([*arguments, *(word for name, value in own.items() for word in (f"--{name}", str(value)))])


def measure(arguments: list[str], *, share: float, full: bool) -> dict[str, Any]:
    """Two steps of a share of a recipe."""
    with tempfile.TemporaryDirectory() as folder, processes(config := config_of(arguments, Path(folder), share=share)) as (pool, book):
        driver, before = Driver(config, pool, book, full=full), peak_mib()
        num_samples = driver.steps()
        per_sample = {name: round(1000 * seconds / num_samples, 3) for name, seconds in driver.figures.cpu_s.items()}
        return {
            "samples": num_samples // STEPS,
            "limit": config.rollout.max_response_tokens,
            "ms_per_sample": per_sample,
            "all_ms_per_sample": round(sum(per_sample.values()), 3),
            "bytes_per_sample": driver.num_bytes() // num_samples,
            "peak_mib": peak_mib(),
            "before_mib": before,
        }


def peak_mib() -> int:
    """Most memory that this process has had, what it touched of Ray's store among it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, nargs="+", default=[0.25, 1.0], help="of the recipe's prompts, small ones first")
    parser.add_argument("--full", action="store_true", help="every response ends at the limit")
    asked, arguments = parser.parse_known_args()
    for share in asked.share:
        print(json.dumps(measure(arguments, share=share, full=asked.full)), flush=True)


if __name__ == "__main__":
    main()
