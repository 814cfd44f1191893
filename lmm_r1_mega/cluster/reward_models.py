"""Reward models on Ray workers, as the driver sees them: samples in, a score a sample and model out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
import torch
from ray.actor import ActorHandle

from lmm_r1_mega.cluster.environment import engine_environment
from lmm_r1_mega.cluster.images import put_images
from lmm_r1_mega.cluster.placement import Placement
from lmm_r1_mega.cluster.supervise import wait_all
from lmm_r1_mega.config import Config
from lmm_r1_mega.models.reward_model import RewardModel
from lmm_r1_mega.planning.reward_models import trainer_rank
from lmm_r1_mega.schema import Sample

_NO_IDS, _NO_NUMBERS = torch.zeros(0, dtype=torch.int64), torch.zeros(0)


class RewardModels:
    """An actor for each model of `reward.models`, on the trainer's places in turn; they score at the same time."""

    def __init__(self, config: Config, placement: Placement) -> None:
        self._timeout_s = config.cluster.step_timeout_s
        models = enumerate(config.reward.models.items())
        self._actors = {name: _start(config, placement, index, path) for index, (name, path) in models}
        ready = {f"reward model {name}": actor.__ray_ready__.remote() for name, actor in self._actors.items()}
        wait_all(ready, doing="loading the model", timeout_s=config.cluster.start_timeout_s)

    def scores(self, samples: Sequence[Sample]) -> dict[str, list[float | None]]:
        """Name of a model -> its score of every sample, in order; None for one that is too long for it."""
        put_images(sample.prompt.images for sample in samples)
        sent = ray.put([_as_text(sample) for sample in samples])
        calls = {name: actor.scores.remote(sent) for name, actor in self._actors.items()}
        named = {f"reward model {name}": call for name, call in calls.items()}
        found = wait_all(named, doing="scoring", timeout_s=self._timeout_s)
        return {name: found[f"reward model {name}"] for name in calls}


def _as_text(sample: Sample) -> Sample:
    """The sample without the engine's numbers: a reward model has a tokenizer of its own."""
    return replace(sample, completion=replace(sample.completion, response_ids=_NO_IDS, response_logprobs=_NO_NUMBERS))


def _start(config: Config, placement: Placement, index: int, path: Path) -> ActorHandle:
    slot = placement.trainers[trainer_rank(index, num_ranks=len(placement.trainers))]
    options: dict[str, Any] = {
        "num_cpus": 0.01,
        "max_restarts": 0,
        "scheduling_strategy": placement.strategy(slot),
        "runtime_env": {"env_vars": engine_environment(placement, slot)},
    }
    actor = ray.remote(RewardModel).options(**options)
    return actor.remote(path, precision=config.model.precision, batch_tokens=config.layout.max_tokens_per_microbatch)
