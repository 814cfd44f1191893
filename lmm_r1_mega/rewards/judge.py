"""Component `judge`: a language model behind an OpenAI-compatible endpoint reads a response and gives it a number.

It sees text alone: an image of the prompt is the token that stands for it. The number is what follows `Score:` on the last line of
its reply that holds nothing else (asterisks, backticks and a full stop aside). A reply without such a line is no score: the sample
is invalid, and is not asked about again. So is one with a number above 1 or below 0 where our own question asked for one between.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from lmm_r1_mega.config import JudgeSettings, RemoteSettings
from lmm_r1_mega.rewards.components import JUDGE
from lmm_r1_mega.rewards.messages import RewardInput, Verdict
from lmm_r1_mega.rewards.posting import NoAnswer
from lmm_r1_mega.rewards.remote import bearer
from lmm_r1_mega.rewards.servers import Servers, Unanswered

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
PLACES = re.compile(r"\{(prompt|response|answer)\}")
SCORE_LINE = re.compile(r"score:[ \t]*([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?)", re.IGNORECASE)


class Judge:
    """Endpoints of one model that share the responses, one request a response."""

    def __init__(self, settings: JudgeSettings, limits: RemoteSettings, *, seed: int = 0) -> None:
        urls = [f"{url.rstrip('/')}/chat/completions" for url in settings.urls]
        self._servers = Servers(urls, headers=bearer(KEY_VARIABLE), timeout_s=limits.timeout_s, budget_s=limits.budget_s, seed=seed)
        self._settings = settings

    def verdicts(self, inputs: Sequence[RewardInput]) -> list[Verdict]:
        """One a response, in order; invalid with the reason where the judge gave no score."""
        replies = self._servers.ask([self._request(given) for given in inputs], lambda _, answer: _reply(answer))
        return [_verdict(reply, is_own_scale=self._settings.prompt is not None) for reply in replies]

    def _request(self, given: RewardInput) -> dict[str, Any]:
        question = fill_in(self._settings.prompt or QUESTION, given)
        return {"model": self._settings.model, "messages": [{"role": "user", "content": question}], "temperature": 0}


def fill_in(template: str, given: RewardInput) -> str:
    """The template with the texts in their places; what looks like a place inside them is left as it is.

    Example: "{response}?" with the response "{answer}" -> "{answer}?"
    """
    texts = {"prompt": given.prompt, "response": given.response, "answer": "" if given.answer is None else str(given.answer)}
    return PLACES.sub(lambda place: texts[place[1]], template)


def score_of(reply: str) -> float | None:
    """The number of the last line `Score: NUMBER`; None where there is none, or it is not finite.

    Example: "Nearly.\\n**Score: 0.5**" -> 0.5, "Score: 8/10" -> None
    """
    for line in reversed(reply.splitlines()):
        match = SCORE_LINE.fullmatch(line.strip(" \t*`_#.").replace("*", ""))
        if match:
            number = float(match[1])
            return number if math.isfinite(number) else None
    return None


def _verdict(reply: str | Unanswered, *, is_own_scale: bool) -> Verdict:
    if isinstance(reply, Unanswered):
        return Verdict({}, f"{JUDGE}: {reply.reason}")
    number = score_of(reply)
    if number is None:
        return Verdict({}, f"{JUDGE}: no score in the reply")
    if not (is_own_scale or 0.0 <= number <= 1.0):
        return Verdict({}, f"{JUDGE}: score is not between 0 and 1")
    return Verdict({JUDGE: number})


def _reply(answer: Any) -> str:
    try:
        content = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise NoAnswer("no message in the answer") from error
    if not isinstance(content, str):
        raise NoAnswer("no message in the answer")
    return content
