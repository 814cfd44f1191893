"""Component `judge`: a language model behind an OpenAI-compatible endpoint reads a response and gives it a number.

It sees text alone: an image of the prompt is the token that stands for it. The number is what follows `Score:` on the last line of
its reply that holds nothing else (asterisks, backticks and a full stop aside). A reply without such a line is no score: the sample
is invalid, and is not asked about again. So is one with a number above 1 or below 0 when our own question asked for one between.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from lmm_r1_mega.config import JudgeSettings, RemoteSettings
from lmm_r1_mega.rewards.components import JUDGE
from lmm_r1_mega.rewards.messages import PartialReward, RewardInput
from lmm_r1_mega.rewards.remote.servers import NoAnswer, Servers, bearer

KEY_VARIABLE = "LMM_R1_JUDGE_KEY"
QUESTION = """\
You grade an answer to a problem.

Problem:
{prompt}

Reference answer:
{answer}

Answer to grade:
{response}

Say briefly what is right and wrong, then end with a line `Score: x`, x a number from 0 (wrong) to 1 (right).
"""
PLACEHOLDER = re.compile(r"\{(prompt|response|answer)\}")
SCORE_LINE = re.compile(r"score:[ \t]*([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?)", re.IGNORECASE)


class LlmJudge:
    """Endpoints of one model that share the responses, one request per response."""

    def __init__(self, settings: JudgeSettings, limits: RemoteSettings, *, seed: int = 0) -> None:
        urls = [f"{url.rstrip('/')}/chat/completions" for url in settings.urls]
        self._servers: Servers[str] = Servers(
            urls, headers=bearer(KEY_VARIABLE), timeout_s=limits.timeout_s, budget_s=limits.budget_s, seed=seed
        )
        self._settings = settings

    def partial_rewards(self, inputs: Sequence[RewardInput]) -> list[PartialReward]:
        """One per response, in order; invalid with the reason when the judge gave no score."""
        replies = self._servers.ask([self._request(item) for item in inputs], lambda _, answer: _reply(answer))
        return [_partial_reward(reply, is_own_scale=self._settings.prompt is not None) for reply in replies]

    def _request(self, item: RewardInput) -> dict[str, Any]:
        question = fill_in(self._settings.prompt or QUESTION, item)
        return {"model": self._settings.model, "messages": [{"role": "user", "content": question}], "temperature": 0}


def fill_in(template: str, item: RewardInput) -> str:
    """The template with the texts in its placeholders; what looks like a placeholder inside them is left as it is.

    Example: "{response}?" with the response "{answer}" -> "{answer}?"
    """
    texts = {"prompt": item.prompt, "response": item.response, "answer": "" if item.answer is None else str(item.answer)}
    return PLACEHOLDER.sub(lambda match: texts[match[1]], template)


def score_of(reply: str) -> float | None:
    """The number of the last line `Score: NUMBER`; None when there is none, or it is not finite.

    Example: "Nearly.\\n**Score: 0.5**" -> 0.5, "Score: 8/10" -> None
    """
    for line in reversed(reply.splitlines()):
        match = SCORE_LINE.fullmatch(line.strip(" \t*`_#.").replace("*", ""))
        if match:
            number = float(match[1])
            return number if math.isfinite(number) else None
    return None


def _partial_reward(reply: str | NoAnswer, *, is_own_scale: bool) -> PartialReward:
    if isinstance(reply, NoAnswer):
        return PartialReward({}, f"{JUDGE}: {reply}")
    number = score_of(reply)
    if number is None:
        return PartialReward({}, f"{JUDGE}: no score in the reply")
    if not (is_own_scale or 0.0 <= number <= 1.0):
        return PartialReward({}, f"{JUDGE}: score is not between 0 and 1")
    return PartialReward({JUDGE: number})


def _reply(answer: Any) -> str:
    try:
        content = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise NoAnswer("no message in the answer") from error
    if not isinstance(content, str):
        raise NoAnswer("no message in the answer")
    return content
