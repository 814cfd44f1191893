"""`Rewards`: all that a run pays for, summed: worker processes here; servers, a judge and reward models elsewhere at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.http_client import in_background
from lmm_r1_mega.rewards.components import MODEL, component_weights, merged, total
from lmm_r1_mega.rewards.messages import PartialReward, RewardInput, number_problem
from lmm_r1_mega.rewards.remote.llm_judge import LlmJudge
from lmm_r1_mega.rewards.remote.reward_servers import RemoteRewards
from lmm_r1_mega.rewards.running import RunningScales
from lmm_r1_mega.rewards.workers.pool import RewardPool
from lmm_r1_mega.schema import Sample, Score

TextSource = Callable[[Sequence[RewardInput]], list[PartialReward]]
ModelSource = Callable[[Sequence[Sample]], dict[str, list[float | None]]]
"""Name of each reward model -> a score per sample, None for a sample that is too long for it."""


@dataclass(frozen=True)
class Rewards:
    """The weighted sum of components, a score for every sample whatever becomes of a server."""

    pool: RewardPool
    weights: Mapping[str, float]
    text_sources: tuple[TextSource, ...] = ()
    models: ModelSource | None = None
    is_normalized: bool = False
    _scales: RunningScales = field(default_factory=RunningScales)

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score per sample, in order."""
        models = self.models
        from_models = [in_background(partial(self._by_models, models, samples))] if models else []
        return self._sum([as_input(sample) for sample in samples], from_models)

    def score_texts(self, inputs: Sequence[RewardInput]) -> list[Score]:
        """One score per response, in order; reward models, which read samples, have no part in it."""
        return self._sum(inputs, [])

    def local(self) -> Rewards:
        """What the worker processes alone pay: held-out accuracy needs neither a server nor what a judge costs."""
        return Rewards(self.pool, self.pool.weights)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return self._scales.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""
        self._scales.restore(state)

    def _sum(self, inputs: Sequence[RewardInput], from_models: list[Future[list[PartialReward]]]) -> list[Score]:
        """This thread serves the pool, while others wait for answers from elsewhere."""
        pending = [*from_models, *(in_background(partial(source, inputs)) for source in self.text_sources)]
        columns = [self.pool.partial_rewards(inputs), *(future.result() for future in pending)]
        return [total(merged(row), self.weights) for row in zip(*columns, strict=True)]

    def _by_models(self, models: ModelSource, samples: Sequence[Sample]) -> list[PartialReward]:
        """Rewards of the reward models, normalized if asked; the step's own scores count in its mean and deviation."""
        columns = models(samples)
        if self.is_normalized:
            for name, scores in columns.items():
                self._scales.add(name, [score for score in scores if score is not None and not number_problem(score)])
        return [merged(self._by_model(name, scores[i]) for name, scores in columns.items()) for i in range(len(samples))]

    def _by_model(self, name: str, score: float | None) -> PartialReward:
        component = f"{MODEL}/{name}"
        problem = "too long" if score is None else number_problem(score)
        if score is None or problem:
            return PartialReward({}, f"{component}: {problem}")
        if not self.is_normalized:
            return PartialReward({component: score})
        return PartialReward({component: self._scales.scaled(name, score), f"{component}/raw": score})


def rewards_of(settings: RewardSettings, pool: RewardPool, *, models: ModelSource | None = None, seed: int = 0) -> Rewards:
    """All rewards that the settings name.

    Errors: ValueError for wrong names in `reward.weights`, and for reward models that nobody runs.
    """
    if settings.models and models is None:
        raise ValueError("reward.models run beside a trainer alone, fix: leave them out here, or use `lmm-r1-mega train`")
    return Rewards(pool, component_weights(settings), text_sources(settings, seed=seed), models, is_normalized=settings.normalize)


def text_sources(settings: RewardSettings, *, seed: int = 0) -> tuple[TextSource, ...]:
    """The sources elsewhere that read text."""
    servers = [RemoteRewards(settings.remote, seed=seed).partial_rewards] if settings.remote.urls else []
    judges = [LlmJudge(settings.judge, settings.remote, seed=seed).partial_rewards] if settings.judge.urls else []
    return (*servers, *judges)


def as_input(sample: Sample) -> RewardInput:
    """What rewards that read text see of a sample."""
    return RewardInput(
        response=sample.completion.text,
        answer=sample.prompt.answer,
        prompt=sample.prompt.text,
        num_tokens=len(sample.completion.response_ids),
        is_truncated=sample.completion.finish_reason == "length",
    )
