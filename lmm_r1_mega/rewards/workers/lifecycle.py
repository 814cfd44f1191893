"""The life of a reward worker as a pure function of its state and of what happens to it.

A message in any phase but its own is junk and kills the worker. What becomes of the job of a worker that ends:

| the job was | it then |
|---|---|
| sent, and its worker had not started it | is queued again, up to `MAX_LOST` times: it is not to blame |
| started, of rules | loses its first unanswered response, which is invalid; the others are queued again |
| started, of the user's function | is queued again response by response, since nobody knows which is to blame; a single one is invalid |
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from lmm_r1_mega.rewards.messages import FUNCTION, PartialReward
from lmm_r1_mega.rewards.workers.messages import TIMEOUT, FunctionResult, Job, JobKind, Message, Ready, Started

START_LIMIT_S = 120.0
MAX_LOST = 3
"""Workers in a row that end before they are ready, or before they start one job."""
WORKER_DIED = "worker died"
UNEXPECTED = "answer to nothing"
Phase = Literal["starting", "idle", "assigned", "scoring", "killed"]


@dataclass(frozen=True)
class Worker:
    """A worker's state. It has a job when it is `assigned` (sent, perhaps not read) or `scoring` (its first item is being scored)."""

    phase: Phase
    deadline: float = math.inf
    """By the monotonic clock, for what the phase waits for."""
    job: Job | None = None
    num_failed_starts: int = 0
    """Workers before it that ended before they were ready."""


@dataclass(frozen=True)
class Fault:
    """It has sent junk, or its deadline has passed: it is to end, and why."""

    reason: str


@dataclass(frozen=True)
class Gone:
    """Its process has ended, and another takes its place."""

    reason: str | None = None


@dataclass(frozen=True)
class Effects:
    """What is to be done."""

    send: Job | None = None
    kill: bool = False
    rewards: Mapping[tuple[JobKind, int], PartialReward] = field(default_factory=dict)
    """(kind, index) -> answer for a response."""
    requeue: tuple[Job, ...] = ()
    """To be put before all others."""
    trace: str | None = None
    """Of the user's function, which raised."""


Next = tuple[Worker, Effects]


def transition(worker: Worker, event: Job | Message | Fault | Gone, now: float) -> Next:
    """The worker's next state, and what is to be done; `now` is by the monotonic clock.

    Errors: ValueError when the user's reward file cannot be used, RuntimeError for a worker that does not get ready.
    """
    match worker.phase, event:
        case "idle", Job():
            return Worker("assigned", now + event.answer_limit_s, event), Effects(send=event)
        case (("starting" | "killed"), Fault(reason)) if reason == TIMEOUT:
            raise RuntimeError(
                f"a reward worker is not ready after {START_LIMIT_S:.0f} s, fix: look at what reward.function does at import"
            )
        case _, Fault(reason):
            return _kill(worker, reason, now)
        case "starting", Gone() if worker.num_failed_starts + 1 == MAX_LOST:
            raise RuntimeError("the reward workers end before they are ready, fix: what their own message above says")
        case phase, Gone(reason):
            num_failed = worker.num_failed_starts + 1 if phase == "starting" else 0
            return Worker("starting", now + START_LIMIT_S, None, num_failed), _end(worker, reason or WORKER_DIED)
        case "starting", Ready(problem):
            if problem:
                raise ValueError(problem)
            return Worker("idle"), Effects()
    return _answered(worker, worker.job, event, now) if worker.job else _kill(worker, UNEXPECTED, now)


def _answered(worker: Worker, job: Job, event: Job | Message | Fault | Gone, now: float) -> Next:
    """What a worker with a job has sent."""
    (index, _), *rest = job.items
    match worker.phase, event:
        case _, Started(number) if number == job.number:
            return replace(worker, phase="scoring"), Effects()
        case "scoring", PartialReward() if job.kind != "function":
            left = replace(job, items=tuple(rest))
            next_worker = Worker("scoring", now + left.answer_limit_s, left) if rest else Worker("idle")
            return next_worker, Effects(rewards={(job.kind, index): event})
        case "scoring", FunctionResult(_, str(failure), trace) if job.kind == "function":
            return Worker("idle"), replace(_lose(job, failure), trace=trace)
        case "scoring", FunctionResult(rewards) if job.kind == "function":
            if len(rewards) != len(job.items):
                return _kill(worker, "answer of a wrong length", now)
            return Worker("idle"), Effects(rewards={(job.kind, i): reward for (i, _), reward in zip(job.items, rewards, strict=True)})
    return _kill(worker, UNEXPECTED, now)


def _kill(worker: Worker, reason: str, now: float) -> Next:
    return Worker("killed", now + START_LIMIT_S), replace(_end(worker, reason), kill=True)


def _end(worker: Worker, reason: str) -> Effects:
    """What becomes of the job of a worker that ends."""
    job = worker.job
    if job is None:
        return Effects()
    if worker.phase == "assigned" and reason != TIMEOUT and job.num_lost < MAX_LOST:
        return Effects(requeue=(replace(job, num_lost=job.num_lost + 1),))
    return _lose(job, f"{FUNCTION}: {reason}" if job.kind == "function" else reason)


def _lose(job: Job, reason: str) -> Effects:
    (index, _), *rest = job.items
    if rest and job.kind == "function":
        return Effects(requeue=tuple(replace(job, items=(item,)) for item in job.items))
    requeue = (replace(job, items=tuple(rest)),) if rest else ()
    return Effects(rewards={(job.kind, index): PartialReward({}, reason)}, requeue=requeue)
