"""Component `remote`: rewards from servers that speak LMM-R1's protocol.

POST `{"query": [...], "prompts": [...], "labels": [...]}`, where a query is a prompt with its response, is answered by
`{"rewards": [...], ...}`. Every further list of as many numbers is recorded as `remote/NAME`. A list `invalid` holds for each
response null or the reason why it could not be scored (our own server gives it); a reward of null says the same without one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lmm_r1_mega.config import RemoteSettings
from lmm_r1_mega.rewards.components import REMOTE
from lmm_r1_mega.rewards.messages import NOT_FINITE, PartialReward, RewardInput, partial_reward
from lmm_r1_mega.rewards.remote.servers import NoAnswer, Partial, Servers, bearer

TOKEN_VARIABLE = "LMM_R1_REWARD_TOKEN"
REQUEST_SIZE = 64
"""Responses of one request."""


class RemoteRewards:
    """Reward servers that share the responses."""

    def __init__(self, settings: RemoteSettings, *, request_size: int = REQUEST_SIZE, seed: int = 0) -> None:
        headers = bearer(TOKEN_VARIABLE)
        self._servers: Servers[list[PartialReward]] = Servers(
            settings.urls, headers=headers, timeout_s=settings.timeout_s, budget_s=settings.budget_s, seed=seed
        )
        self._size = request_size

    def partial_rewards(self, inputs: Sequence[RewardInput]) -> list[PartialReward]:
        """One per response, in order; invalid with the reason when no server gave a reward."""
        batches = [inputs[start : start + self._size] for start in range(0, len(inputs), self._size)]
        answers = self._servers.ask([_request(batch) for batch in batches], lambda index, answer: _read(answer, len(batches[index])))
        rewards: list[PartialReward] = []
        for batch, answer in zip(batches, answers, strict=True):
            rewards += [PartialReward({}, f"{REMOTE}: {answer}")] * len(batch) if isinstance(answer, NoAnswer) else answer
        return rewards


def _request(batch: Sequence[RewardInput]) -> dict[str, list[Any]]:
    return {
        "query": [item.prompt + item.response for item in batch],
        "prompts": [item.prompt for item in batch],
        "labels": [item.answer for item in batch],
    }


def _read(answer: Any, count: int) -> list[PartialReward]:
    """Rewards from a server's answer; a number that is not finite is asked for again, then invalid alone."""
    rewards = answer.get("rewards") if isinstance(answer, dict) else None
    if not isinstance(rewards, list):
        raise NoAnswer("no list `rewards` in the answer")
    if len(rewards) != count:
        raise NoAnswer("wrong number of rewards")
    if not all(reward is None or _is_number(reward) for reward in rewards):
        raise NoAnswer("a reward is not a number")
    lists = {name: values for name, values in answer.items() if isinstance(values, list) and len(values) == count}
    reasons = lists.pop("invalid", [None] * count)
    partial = [partial_reward(REMOTE, {name: _number(values[i]) for name, values in lists.items()}, reasons[i]) for i in range(count)]
    if any(reward.invalid == f"{REMOTE}: {NOT_FINITE}" for reward in partial):
        raise Partial(NOT_FINITE, partial)
    return partial


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    try:
        return float(value) if _is_number(value) else None
    except OverflowError:
        return math.inf
