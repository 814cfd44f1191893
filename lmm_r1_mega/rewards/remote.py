"""Component `remote`: rewards from servers that speak LMM-R1's protocol.

POST `{"query": [...], "prompts": [...], "labels": [...]}`, where a query is a prompt with its response, is answered by
`{"rewards": [...], ...}`. Every further list of as many numbers is recorded as `remote/NAME`. A list `invalid` holds for each
response null or the reason why it could not be judged (our own server gives it); a reward of null says the same without one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from lmm_r1_mega.config import RemoteSettings
from lmm_r1_mega.rewards.components import REMOTE
from lmm_r1_mega.rewards.messages import NOT_FINITE, RewardInput, Verdict, verdict_of
from lmm_r1_mega.rewards.posting import NoAnswer
from lmm_r1_mega.rewards.servers import Partial, Servers, Unanswered

TOKEN_VARIABLE = "LMM_R1_REWARD_TOKEN"
REQUEST_SIZE = 64
"""Responses of one request."""


class RemoteRewards:
    """Reward servers that share the responses."""

    def __init__(self, settings: RemoteSettings, *, request_size: int = REQUEST_SIZE, seed: int = 0) -> None:
        headers = bearer(TOKEN_VARIABLE)
        self._servers = Servers(settings.urls, headers=headers, timeout_s=settings.timeout_s, budget_s=settings.budget_s, seed=seed)
        self._size = request_size

    def verdicts(self, inputs: Sequence[RewardInput]) -> list[Verdict]:
        """One a response, in order; invalid with the reason where no server gave a reward."""
        batches = [inputs[start : start + self._size] for start in range(0, len(inputs), self._size)]
        answers = self._servers.ask([_question(batch) for batch in batches], lambda place, answer: _read(answer, len(batches[place])))
        return [
            verdict
            for batch, answer in zip(batches, answers, strict=True)
            for verdict in ([Verdict({}, f"{REMOTE}: {answer.reason}")] * len(batch) if isinstance(answer, Unanswered) else answer)
        ]


def bearer(variable: str) -> dict[str, str]:
    """The header with the token of an environment variable; none where that is not set.

    Errors: ValueError, which does not show it, for a token that a header cannot carry.
    """
    token = os.environ.get(variable, "").strip()
    if not (token.isascii() and token.isprintable()):
        raise ValueError(f"{variable} holds signs that a header cannot carry: set it to printable ASCII")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _question(batch: Sequence[RewardInput]) -> dict[str, list[Any]]:
    return {
        "query": [given.prompt + given.response for given in batch],
        "prompts": [given.prompt for given in batch],
        "labels": [given.answer for given in batch],
    }


def _read(answer: Any, count: int) -> list[Verdict]:
    """Verdicts from a server's answer; a number that is not finite is asked for again, then invalid alone."""
    rewards = answer.get("rewards") if isinstance(answer, dict) else None
    if not isinstance(rewards, list):
        raise NoAnswer("no list `rewards` in the answer")
    if len(rewards) != count:
        raise NoAnswer("wrong number of rewards")
    if not all(reward is None or _is_number(reward) for reward in rewards):
        raise NoAnswer("a reward is not a number")
    lists = {name: values for name, values in answer.items() if isinstance(values, list) and len(values) == count}
    reasons = lists.pop("invalid", [None] * count)
    verdicts = [verdict_of(REMOTE, {name: _number(values[i]) for name, values in lists.items()}, reasons[i]) for i in range(count)]
    if any(verdict.invalid == f"{REMOTE}: {NOT_FINITE}" for verdict in verdicts):
        raise Partial(NOT_FINITE, verdicts)
    return verdicts


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    try:
        return float(value) if _is_number(value) else None
    except OverflowError:
        return math.inf
