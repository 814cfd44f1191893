"""What the scoring process and its workers say to each other."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

JobKind = Literal["rules", "gold", "function"]
FUNCTION = "function"
"""Component of the user's own function."""
TIMEOUT, OUT_OF_MEMORY = "timeout", "memory limit"
"""Why a worker ended, and the response that it was judging is invalid."""
Answer = str | int | float | None
"""A gold answer, as the row has it."""


LARGEST_REWARD = 1e6
"""Beyond it a number is no reward: the trainer sums squares of rewards in float32."""
NOT_FINITE = "not a finite number"
MAX_REASON = 80
"""Letters of a reason from elsewhere that are kept."""


@dataclass(frozen=True)
class RewardInput:
    """One response to judge. `prompt` is for people and the user's own function: no rule reads it."""

    response: str
    answer: Answer
    prompt: str = ""
    num_tokens: int | None = None
    """Of the response; None where nobody counted."""
    is_truncated: bool = False
    """Whether the length limit cut the response."""


@dataclass(frozen=True)
class Terms:
    """What is judged, and what the settings say about it."""

    names: tuple[str, ...]
    """Rows of the table of rules."""
    overlong: tuple[int, int] | None = None
    """Response tokens up to which length is free, and from which it costs all."""
    repetition_ngram: int = 3

    @property
    def asks_for_block(self) -> bool:
        """Whether an answer counts only inside an answer block."""
        return "format" in self.names


@dataclass(frozen=True)
class Verdict:
    """The parts of one score that could be given, and why a part could not."""

    parts: dict[str, float]
    invalid: str | None = None


def number_problem(value: float) -> str | None:
    """Why a number cannot be a reward, or None."""
    if not math.isfinite(value):
        return NOT_FINITE
    return None if abs(value) <= LARGEST_REWARD else f"beyond {LARGEST_REWARD:,.0f}"


def verdict_of(component: str, numbers: Mapping[str, float | None], reason: object = None) -> Verdict:
    """What a source with an answer of its own says of a response: its `rewards`, further numbers by name, why it could not judge.

    Further numbers that are not finite are left out.

    Example: "remote", {rewards: 1.0, brevity: 0.5} -> {remote: 1.0, remote/brevity: 0.5}
    """
    further = {f"{component}/{name}": value for name, value in numbers.items() if name != "rewards" and value is not None}
    parts = {name: value for name, value in further.items() if math.isfinite(value)}
    reward = numbers["rewards"]
    problem = str(reason)[:MAX_REASON] if reason is not None else "no reward" if reward is None else number_problem(reward)
    if reward is None or problem is not None:
        return Verdict(parts, f"{component}: {problem}")
    return Verdict({component: reward} | parts)


@dataclass(frozen=True)
class Outcome:
    """What one call gave: a verdict for each response, or the reason why there is none."""

    verdicts: list[Verdict]
    failure: str | None = None
    trace: str | None = None
    """The user's own traceback, where the function raised."""


@dataclass(frozen=True)
class Plan:
    """What the fork server is told on its command line."""

    terms: Terms
    function: str | None
    memory_mib: int
    timeout_s: float
    """Processor time of one response."""
    workers: int
    control: int = -1
    """File descriptor of its connection to the parent."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        fields = json.loads(text)
        names, overlong, ngram = (fields["terms"][name] for name in ("names", "overlong", "repetition_ngram"))
        terms = Terms(tuple(names), overlong=(overlong[0], overlong[1]) if overlong else None, repetition_ngram=ngram)
        return cls(**{**fields, "terms": terms})


@dataclass(frozen=True)
class Job:
    """Responses for one worker. `rules` and `gold` answer with a `Verdict` each, in order; `function` with one `Outcome` for all."""

    kind: JobKind
    items: tuple[tuple[int, RewardInput], ...]
    """Places in the caller's list, and what stands there."""
    number: int = 0
    """Tells the jobs of one parent apart."""
    num_lost: int = 0
    """Workers that ended before they began with it."""

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Job:
        """Inverse of `asdict` and JSON."""
        return cls(**{**fields, "items": tuple((place, RewardInput(**given)) for place, given in fields["items"])})


@dataclass(frozen=True)
class Started:
    """The fork server's news: a worker at a place, after another where there was one."""

    place: int
    pid: int
    reason: str | None = None
    """Why the worker before it ended, where that can be told."""


@dataclass(frozen=True)
class Ready:
    """A worker's first word: it takes jobs, or says why it cannot."""

    problem: str | None = None


@dataclass(frozen=True)
class Begun:
    """The worker has read this job; its answers follow."""

    number: int


Message = Ready | Begun | Outcome | Verdict
"""What a worker says."""


def spelled(message: Message) -> dict[str, Any]:
    """A worker's message for JSON.

    Example: Begun(3) -> {"Begun": {"number": 3}}
    """
    return {type(message).__name__: asdict(message)}
