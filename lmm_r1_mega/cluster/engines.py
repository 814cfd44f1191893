"""The rollout engines as the driver sees them: prompts in, samples in the same order out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle

from lmm_r1_mega.cluster.environment import engine_environment
from lmm_r1_mega.cluster.images import put_images
from lmm_r1_mega.cluster.messages import Completions
from lmm_r1_mega.cluster.placement import Placement, Slot
from lmm_r1_mega.cluster.supervise import wait_all
from lmm_r1_mega.config import Config
from lmm_r1_mega.rollout.engine import PromptLimits, RolloutEngine, Sampling
from lmm_r1_mega.schema import Completion, Prompt, Sample


class RolloutWorker(RolloutEngine):
    """The Ray actor of a rollout engine: its completions travel as columns."""

    def answer(self, prompts: list[Prompt], *, samples: int, sampling: Sampling, seed: int) -> Completions:
        return Completions.of(self.generate(prompts, samples=samples, sampling=sampling, seed=seed))


@dataclass(frozen=True)
class Generation:
    """Prompts that engines are at work on."""

    prompts: list[Prompt]
    calls: dict[str, ray.ObjectRef]
    """By the name of the engine; prompt i is with engine i modulo their number."""


class RolloutEngines:
    """All vLLM engines of a run."""

    def __init__(self, config: Config, placement: Placement, model_path: Path, *, max_images: int) -> None:
        self._timeout_s = config.cluster.step_timeout_s
        self._sleeps = config.cluster.placement == "hybrid" and placement.has_gpus and bool(placement.trainers)
        self.actors = [_start(config, placement, slot, model_path, max_images=max_images) for slot in placement.engines]
        self._start_timeout_s = config.cluster.start_timeout_s

    def make_room(self) -> None:
        """Where engines share GPUs with the trainer: let them measure and take their memory first, then leave it to the trainer."""
        if self._sleeps:
            self.wait_until_ready()
            self._everywhere(lambda engine: engine.sleep.remote(), "going to sleep")

    def wait_until_ready(self) -> None:
        """Return when every engine has loaded its model; until then the trainer can load its own."""
        ready = self._calls(lambda engine: engine.__ray_ready__.remote())
        wait_all(ready, doing="loading the model", timeout_s=self._start_timeout_s)

    def generate(self, prompts: list[Prompt], *, samples: int, sampling: Sampling, seed: int) -> list[Sample]:
        """`samples` answers to every prompt, those of a prompt as neighbors, in the order of `prompts`.

        The result does not depend on the number of engines: every prompt has random numbers of its own.
        """
        return self.collect(self.start(prompts, samples=samples, sampling=sampling, seed=seed))

    def start(self, prompts: list[Prompt], *, samples: int, sampling: Sampling, seed: int) -> Generation:
        """Begin to generate and return at once. An engine does one thing at a time: what is asked of it later waits."""
        ids = own_ids([prompt.id for prompt in prompts])
        sent = [replace(prompt, id=own) for prompt, own in zip(prompts, ids, strict=True)]
        put_images(prompt.images for prompt in prompts)
        count = len(self.actors)
        calls = {
            f"rollout engine {i}": engine.answer.remote(sent[i::count], samples=samples, sampling=sampling, seed=seed)
            for i, engine in enumerate(self.actors)
            if sent[i::count]
        }
        return Generation(prompts, calls)

    def collect(self, generation: Generation) -> list[Sample]:
        """Wait for what was started."""
        answers: list[list[Completion]] = [[] for _ in generation.prompts]
        for i, result in enumerate(wait_all(generation.calls, doing="generation", timeout_s=self._timeout_s).values()):
            answers[i :: len(self.actors)] = result.cut(generation.prompts[i :: len(self.actors)])
        return [Sample(prompt, completion) for prompt, group in zip(generation.prompts, answers, strict=True) for completion in group]

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Engines hold GPU memory inside only, if they share GPUs with the trainer."""
        if not self._sleeps:
            yield
            return
        self._everywhere(lambda engine: engine.wake.remote(), "waking up")
        yield
        self._everywhere(lambda engine: engine.sleep.remote(), "going to sleep")

    def _everywhere(self, call: Callable[[ActorHandle], ray.ObjectRef], doing: str) -> None:
        wait_all(self._calls(call), doing=doing, timeout_s=self._timeout_s)

    def _calls(self, call: Callable[[ActorHandle], ray.ObjectRef]) -> dict[str, ray.ObjectRef]:
        return {f"rollout engine {i}": call(engine) for i, engine in enumerate(self.actors)}


def own_ids(ids: list[str]) -> list[str]:
    """Ids from which engines take random numbers: a prompt that is asked again in the same step gets other answers.

    Example: [a, b, a] -> [a, b, a#2]
    """
    asked: Counter[str] = Counter()
    found = []
    for name in ids:
        asked[name] += 1
        found.append(name if asked[name] == 1 else f"{name}#{asked[name]}")
    return found


def _start(config: Config, placement: Placement, slot: Slot, model_path: Path, *, max_images: int) -> ActorHandle:
    options: dict[str, Any] = {
        "num_cpus": 0.01,
        "max_restarts": 0,
        "scheduling_strategy": placement.strategy(slot),
        "runtime_env": {"env_vars": engine_environment(placement, slot)},
    }
    data = config.data
    return (
        ray.remote(RolloutWorker)
        .options(**options)
        .remote(
            model_path,
            settings=config.rollout,
            precision=config.model.precision,
            limits=PromptLimits(data.max_prompt_tokens, max_images, min_pixels=data.min_pixels, max_pixels=data.max_pixels),
            placement=config.cluster.placement,
            seed=config.run.seed,
        )
    )
