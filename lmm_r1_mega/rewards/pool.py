"""`RewardPool`: responses in, scores out, in order and whatever the responses contain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.rewards.components import local_weights, merged, total
from lmm_r1_mega.rewards.killable import KillableWorkers
from lmm_r1_mega.rewards.messages import FUNCTION, Answer, Job, JobKind, Plan, RewardInput, Terms, Verdict
from lmm_r1_mega.rewards.rule_names import measure_of
from lmm_r1_mega.schema import Score

__all__ = ["RewardInput", "RewardPool"]

MAX_JOB = 16
TRUNCATED = "truncated"


class RewardPool:
    """The rules and the user's function in killable processes, as a context manager.

    A response that overruns its time or memory, or that cannot be judged, is invalid with a reason; the others are unaffected.
    Errors on entering: ValueError for an unknown name in `reward.weights` and for a `reward.function` that cannot be used.
    """

    def __init__(self, settings: RewardSettings) -> None:
        self.weights = local_weights(settings)
        self._settings = settings
        self._workers: KillableWorkers | None = None

    def __enter__(self) -> Self:
        path = self._settings.function
        rules = tuple(name for name in self.weights if name != FUNCTION)
        terms = Terms(rules, overlong=self._settings.overlong, repetition_ngram=self._settings.repetition_ngram)
        plan = Plan(
            terms,
            str(path.resolve()) if path else None,
            memory_mib=self._settings.memory_mib,
            timeout_s=self._settings.timeout_s,
            workers=self._settings.workers,
        )
        self._workers = KillableWorkers(plan)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._workers:
            self._workers.close()
        self._workers = None

    def score(self, inputs: Sequence[RewardInput]) -> list[Score]:
        """One score a response, in order: the weighted sum of its parts, or no reward and the reason."""
        return [total(verdict, self.weights) for verdict in self.verdicts(inputs)]

    def verdicts(self, inputs: Sequence[RewardInput]) -> list[Verdict]:
        """The parts of each score, in order. A truncated response keeps its parts where `reward.mask_truncated` takes its reward."""
        kinds: list[JobKind] = ["rules"] if set(self.weights) - {FUNCTION} else []
        if FUNCTION in self.weights:
            kinds.append("function")
        found = self._open.run(job for kind in kinds for job in self._jobs(kind, inputs))
        verdicts = [merged(found[kind, place] for kind in kinds) for place in range(len(inputs))]
        return [self._masked(given, verdict) for given, verdict in zip(inputs, verdicts, strict=True)]

    def gold_problems(self, answers: Sequence[Answer]) -> list[str | None]:
        """For each gold answer why a rule cannot compare with it, or None, under the same limits as a response."""
        inputs = [RewardInput(response="", answer=answer) for answer in answers]
        found = self._open.run(self._jobs("gold", inputs))
        return [found["gold", place].invalid for place in range(len(inputs))]

    @property
    def measure(self) -> str:
        """The component that tells right from wrong."""
        return measure_of(self.weights)

    @property
    def _open(self) -> KillableWorkers:
        if self._workers is None:
            raise RuntimeError("RewardPool is not open: use it inside its `with` block")
        return self._workers

    def _jobs(self, kind: JobKind, inputs: Sequence[RewardInput]) -> Iterator[Job]:
        """Neighbours go together (a prompt's samples often give the same answers), in jobs small enough to keep every worker busy."""
        size = max(1, min(MAX_JOB, len(inputs) // (2 * self._settings.workers)))
        places = list(enumerate(inputs))
        return (Job(kind, tuple(places[start : start + size])) for start in range(0, len(places), size))

    def _masked(self, given: RewardInput, verdict: Verdict) -> Verdict:
        is_masked = given.is_truncated and self._settings.mask_truncated
        return Verdict(verdict.parts, verdict.invalid or TRUNCATED) if is_masked else verdict
