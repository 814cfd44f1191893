"""The server's half of LMM-R1's protocol (`remote` has the client's): bodies to responses, scores to answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lmm_r1_mega.rewards.messages import RewardInput
from lmm_r1_mega.schema import Score

NO_RESPONSE = "no response in the query"
CHAT_TURN = "<|im_start|>assistant\n"
END_TOKENS = ("<|im_end|>", "<|endoftext|>", "<|end|>", "<end_of_turn>", "<eos>", "<pad>", "</s>")


class BadQuestion(ValueError):
    """The client's mistake, with its fix."""


def read_question(body: bytes, *, opening: str = CHAT_TURN) -> list[RewardInput | None]:
    """What a request asks about, one entry per query; None if its response cannot be told from its prompt (see `response_of`).

    Raises: BadQuestion.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadQuestion(f"the body is not JSON: {error}") from None
    if not isinstance(asked, dict) or not isinstance(asked.get("query"), list):
        raise BadQuestion('the body has no list `query`, fix: post {"query": [...], "prompts": [...], "labels": [...]}')
    queries = asked["query"]
    prompts, labels = (_column(asked, name, count=len(queries)) for name in ("prompts", "labels"))
    if not all(isinstance(query, str) for query in queries):
        raise BadQuestion("`query` holds something else than text, fix: send the prompt with its response as text")
    if not all(label is None or isinstance(label, str | int | float) for label in labels):
        raise BadQuestion("`labels` holds something else than text, numbers and null, fix: send gold answers")
    return [_reward_input(*column, opening=opening) for column in zip(queries, prompts, labels, strict=True)]


def response_of(query: str, prompt: Any, *, opening: str = CHAT_TURN) -> str | None:
    """The response at the end of a query, without the tokens that end and pad it.

    It is what follows the prompt if the query begins with it. LMM-R1's own clients pad queries on the left, expand image tokens
    and send prompts as chat turns; then it is what follows the first `opening` of an assistant's turn that is not the prompt's, and
    None without one. A policy may write openings too: what it has written before them is its response as well.

    Example: query "Q: 1+1? A: 2<|im_end|>", prompt "Q: 1+1? A: " -> "2"
    """
    if isinstance(prompt, str) and prompt and query.startswith(prompt):
        return _without_end(query.removeprefix(prompt))
    turns = query.split(opening, _num_openings(prompt, opening))
    return _without_end(turns[-1]) if len(turns) > _num_openings(prompt, opening) else None


def answer_of(scores: Sequence[Score]) -> dict[str, list[Any]]:
    """What is sent back: `rewards`, a list of each part, and `invalid` with the reason of every unscored response.

    LMM-R1's clients read `rewards` alone and know no invalid response, so 0 stands there; `remote` reads `invalid` and masks it.
    """
    names = dict.fromkeys(name for score in scores for name in score.parts)
    return {
        "rewards": [score.reward or 0.0 for score in scores],
        "invalid": [score.invalid for score in scores],
        **{name: [score.parts.get(name) for score in scores] for name in names},
    }


def _num_openings(prompt: Any, opening: str) -> int:
    """Openings up to that of the response: of a prompt as its template wrote it, or one more than a chat has turns of the assistant."""
    if isinstance(prompt, str) and opening in prompt:
        return prompt.count(opening)
    try:
        turns = json.loads(prompt) if isinstance(prompt, str) else prompt
    except (ValueError, RecursionError):
        turns = None
    return 1 + sum(isinstance(turn, dict) and turn.get("role") == "assistant" for turn in (turns if isinstance(turns, list) else []))


def _column(asked: dict[str, Any], name: str, *, count: int) -> list[Any]:
    """A list beside the queries; nothing at all stands for nothing known."""
    column = asked.get(name)
    if column is None:
        return [None] * count
    if not isinstance(column, list) or len(column) != count:
        raise BadQuestion(f"`{name}` is no list of as many entries as `query`, which has {count}, fix: send one per query or none")
    return column


def _reward_input(query: str, prompt: Any, label: str | int | float | None, *, opening: str) -> RewardInput | None:
    response = response_of(query, prompt, opening=opening)
    return None if response is None else RewardInput(response, label, prompt if isinstance(prompt, str) else "")


def _without_end(response: str) -> str:
    while True:
        text = response.rstrip()
        ending = next((token for token in END_TOKENS if text.endswith(token)), None)
        if ending is None:
            return response
        response = text.removesuffix(ending)
