"""What is scored, by which settings, and the parts of a score that one source gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lmm_r1_mega.schema import GoldAnswer

FUNCTION = "function"
"""Component of the user's own function."""

LARGEST_REWARD = 1e6
"""Beyond it a number is no reward: the trainer sums squares of rewards in float32."""
NOT_FINITE = "not a finite number"
NO_REWARD = "no reward"
MAX_REASON = 80
"""Letters of a reason from elsewhere that are kept."""


@dataclass(frozen=True)
class RewardInput:
    """A response to score. `prompt` is for people and the user's own function: no rule reads it."""

    response: str
    answer: GoldAnswer
    prompt: str = ""
    num_tokens: int | None = None
    """Of the response; None when nobody counted."""
    is_truncated: bool = False
    """Whether the length limit cut the response."""


@dataclass(frozen=True)
class RuleSettings:
    """The rules that score a response, and their settings."""

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
class PartialReward:
    """The parts of a score that a source could give, and why it could not give another."""

    parts: dict[str, float]
    invalid: str | None = None


def number_problem(value: float) -> str | None:
    """Why a number cannot be a reward, or None."""
    if not math.isfinite(value):
        return NOT_FINITE
    return None if abs(value) <= LARGEST_REWARD else f"beyond {LARGEST_REWARD:,.0f}"


def partial_reward(component: str, numbers: Mapping[str, float | None], reason: object = None) -> PartialReward:
    """What a source says of a response: its `rewards`, further numbers by name, and the reason why it could not score.

    Further numbers that are not finite are left out.

    Example: "remote", {rewards: 1.0, brevity: 0.5} -> {remote: 1.0, remote/brevity: 0.5}
    """
    further = {f"{component}/{name}": value for name, value in numbers.items() if name != "rewards" and value is not None}
    parts = {name: value for name, value in further.items() if math.isfinite(value)}
    reward = numbers["rewards"]
    problem = str(reason)[:MAX_REASON] if reason is not None else NO_REWARD if reward is None else number_problem(reward)
    if reward is None or problem is not None:
        return PartialReward(parts, f"{component}: {problem}")
    return PartialReward({component: reward} | parts)
