"""What the scoring process, the fork server and the workers say to each other."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lmm_r1_mega.rewards.messages import PartialReward, RewardInput, RuleSettings

JobKind = Literal["rules", "gold", "function"]
TIMEOUT, OUT_OF_MEMORY = "timeout", "memory limit"
"""Why a worker ended, and the response that it was scoring is invalid."""
MAX_SLOWDOWN = 20.0
"""By the clock a response may take so many times its CPU time: a machine may be busy, a worker may not hang."""


@dataclass(frozen=True)
class WorkerPlan:
    """What the fork server gets on its command line."""

    rules: RuleSettings
    function: str | None
    """Path of the user's reward file."""
    memory_mib: int
    """Memory limit of each worker above its size at start."""
    workers: int
    control: int = -1
    """File descriptor of the fork server's connection to the scoring process."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WorkerPlan:
        fields = json.loads(text)
        names, overlong, ngram = (fields["rules"][name] for name in ("names", "overlong", "repetition_ngram"))
        rules = RuleSettings(tuple(names), overlong=(overlong[0], overlong[1]) if overlong else None, repetition_ngram=ngram)
        return cls(**{**fields, "rules": rules})


@dataclass(frozen=True)
class Job:
    """Responses for one worker. It answers rules and gold with a `PartialReward` each, in order, function with one `FunctionResult`."""

    kind: JobKind
    items: tuple[tuple[int, RewardInput], ...]
    """Index in the caller's list, and the response."""
    timeout_s: float
    """CPU-time limit per response; of a user's function, which may also wait, by the clock."""
    number: int = 0
    """Tells the jobs of one parent apart."""
    num_lost: int = 0
    """Workers that ended before they started it."""

    @property
    def answer_limit_s(self) -> float:
        """Seconds by the clock until the next answer is due. Rules only compute, and the kernel ends a worker at its CPU-time limit."""
        return self.timeout_s * (len(self.items) if self.kind == "function" else MAX_SLOWDOWN)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Job:
        """Inverse of `asdict` and JSON."""
        return cls(**{**fields, "items": tuple((index, RewardInput(**item)) for index, item in fields["items"])})


@dataclass(frozen=True)
class NewWorker:
    """The fork server has forked a worker, after another unless it is the first of its index."""

    index: int
    pid: int
    reason: str | None = None
    """Why the worker before it ended, when its exit status tells."""


@dataclass(frozen=True)
class Ready:
    """A worker takes jobs, or says why it cannot."""

    problem: str | None = None


@dataclass(frozen=True)
class Started:
    """A worker has read this job; its answers follow."""

    number: int


@dataclass(frozen=True)
class FunctionResult:
    """What one call of the user's function gave: one entry per response, or the reason why there are none."""

    rewards: list[PartialReward]
    failure: str | None = None
    trace: str | None = None
    """The user's own traceback, when the function raised."""


Message = Ready | Started | FunctionResult | PartialReward
"""What a worker says."""


def spelled(message: Message) -> dict[str, Any]:
    """A worker's message for JSON.

    Example: Started(3) -> {"Started": {"number": 3}}
    """
    return {type(message).__name__: asdict(message)}
