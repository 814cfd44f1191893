"""The named parts that a reward is the weighted sum of, wherever each comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.rewards.messages import FUNCTION, NO_REWARD, PartialReward, number_problem
from lmm_r1_mega.rewards.rules.names import RULE_NAMES
from lmm_r1_mega.schema import Score

REMOTE, JUDGE, MODEL = "remote", "judge", "model"
ASKED_FOR_WEIGHT = 1.0
"""Weight of a component that a setting of its own asks for, unless `reward.weights` names it."""
_SETTINGS = {
    FUNCTION: "reward.function is not set, fix: give it a Python file",
    REMOTE: "reward.remote.urls is empty, fix: give it the servers' addresses",
    JUDGE: "reward.judge.urls is empty, fix: give it the judge's address",
}


def component_weights(settings: RewardSettings) -> dict[str, float]:
    """Weight of every component of the sum.

    Errors: ValueError for a name that is no component, one that is not set up, and a sum of nothing.
    """
    asked_for = _asked_for(settings)
    known = [*RULE_NAMES, *asked_for]
    weights = dict(settings.weights) | {name: ASKED_FOR_WEIGHT for name in asked_for if name not in settings.weights}
    for name in weights:
        if name in _SETTINGS and name not in asked_for:
            raise ValueError(f"reward.weights names `{name}`, but {_SETTINGS[name]}")
        if name not in known:
            raise ValueError(f"reward.weights has no component {name!r}, fix: use {', '.join(known)}")
    if not weights:
        raise ValueError(f"reward.weights is empty, fix: give at least one of {', '.join(known)} a weight")
    return weights


def local_weights(settings: RewardSettings) -> dict[str, float]:
    """The components that the worker processes give: rules and the user's function."""
    return {name: weight for name, weight in component_weights(settings).items() if name in RULE_NAMES or name == FUNCTION}


def _asked_for(settings: RewardSettings) -> list[str]:
    """Components that have a setting of their own."""
    present = {FUNCTION: bool(settings.function), REMOTE: bool(settings.remote.urls), JUDGE: bool(settings.judge.urls)}
    return [*(name for name, is_set in present.items() if is_set), *(f"{MODEL}/{name}" for name in settings.models)]


def merged(rewards: Iterable[PartialReward]) -> PartialReward:
    """What several sources say about one response: all parts, and the first reason why one is missing."""
    parts: dict[str, float] = {}
    invalid = None
    for reward in rewards:
        parts |= reward.parts
        invalid = invalid or reward.invalid
    return PartialReward(parts, invalid)


def total(partial: PartialReward, weights: Mapping[str, float]) -> Score:
    """The weighted sum of the parts, or no reward and the reason; a part or a sum that is no reward is such a reason."""
    parts = partial.parts
    if partial.invalid:
        return Score(None, parts, partial.invalid)
    if missing := [name for name in weights if name not in parts]:
        return Score(None, parts, f"{missing[0]}: {NO_REWARD}")
    reward = sum(weight * parts[name] for name, weight in weights.items())
    for name, value in [*((name, parts[name]) for name in weights), ("weighted sum", reward)]:
        if problem := number_problem(value):
            return Score(None, {part: number for part, number in parts.items() if part != name}, f"{name}: {problem}")
    return Score(reward, parts)
