"""`RewardPool`: responses in, scores out, in order and whatever the responses contain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.rewards.components import local_weights, merged, total
from lmm_r1_mega.rewards.messages import FUNCTION, PartialReward, RewardInput, RuleSettings
from lmm_r1_mega.rewards.rules.names import accuracy_rule
from lmm_r1_mega.rewards.workers.messages import Job, JobKind, WorkerPlan
from lmm_r1_mega.rewards.workers.processes import WorkerProcesses
from lmm_r1_mega.schema import GoldAnswer, Score

__all__ = ["RewardInput", "RewardPool"]

MAX_JOB = 16
"""Responses of one job."""
TRUNCATED = "truncated"


class RewardPool:
    """The rules and the user's function in killable processes, as a context manager.

    A response that overruns its time or memory, or that cannot be scored, is invalid with a reason; the others are unaffected.
    Errors on entering: ValueError for an unknown name in `reward.weights` and for a `reward.function` that cannot be used.
    """

    def __init__(self, settings: RewardSettings) -> None:
        self.weights = local_weights(settings)
        self._settings = settings
        self._workers: WorkerProcesses | None = None

    def __enter__(self) -> Self:
        settings, path = self._settings, self._settings.function
        names = tuple(name for name in self.weights if name != FUNCTION)
        rules = RuleSettings(names, overlong=settings.overlong, repetition_ngram=settings.repetition_ngram)
        plan = WorkerPlan(rules, str(path.resolve()) if path else None, memory_mib=settings.memory_mib, workers=settings.workers)
        self._workers = WorkerProcesses(plan)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._workers:
            self._workers.close()
        self._workers = None

    def score(self, inputs: Sequence[RewardInput]) -> list[Score]:
        """One score per response, in order: the weighted sum of its parts, or no reward and the reason."""
        return [total(partial, self.weights) for partial in self.partial_rewards(inputs)]

    def partial_rewards(self, inputs: Sequence[RewardInput]) -> list[PartialReward]:
        """The parts of each score, in order. A truncated response keeps its parts when `reward.mask_truncated` takes its reward."""
        kinds: list[JobKind] = ["rules"] if set(self.weights) - {FUNCTION} else []
        if FUNCTION in self.weights:
            kinds.append("function")
        answers = self._opened.run(job for kind in kinds for job in self._jobs(kind, inputs))
        rewards = [merged(answers[kind, index] for kind in kinds) for index in range(len(inputs))]
        return [self._masked(item, reward) for item, reward in zip(inputs, rewards, strict=True)]

    def gold_problems(self, answers: Sequence[GoldAnswer]) -> list[str | None]:
        """For each gold answer why a rule cannot compare with it, or None, under the same limits as a response."""
        inputs = [RewardInput(response="", answer=answer) for answer in answers]
        checks = self._opened.run(self._jobs("gold", inputs))
        return [checks["gold", index].invalid for index in range(len(inputs))]

    @property
    def measure(self) -> str:
        """The component that tells right from wrong."""
        return accuracy_rule(self.weights)

    @property
    def _opened(self) -> WorkerProcesses:
        if self._workers is None:
            raise RuntimeError("RewardPool is not open, fix: use it inside its `with` block")
        return self._workers

    def _jobs(self, kind: JobKind, inputs: Sequence[RewardInput]) -> Iterator[Job]:
        """Neighbours go together (a prompt's samples often give the same answers), in jobs small enough to keep every worker busy."""
        size = max(1, min(MAX_JOB, len(inputs) // (2 * self._settings.workers)))
        items = list(enumerate(inputs))
        return (Job(kind, tuple(items[start : start + size]), self._settings.timeout_s) for start in range(0, len(items), size))

    def _masked(self, item: RewardInput, reward: PartialReward) -> PartialReward:
        is_masked = item.is_truncated and self._settings.mask_truncated
        return PartialReward(reward.parts, reward.invalid or TRUNCATED) if is_masked else reward
