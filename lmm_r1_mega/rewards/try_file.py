"""`reward try`: what the rewards of a configuration pay for responses in a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.rewards.answers.explain import why_not_equal
from lmm_r1_mega.rewards.total import rewards_of
from lmm_r1_mega.rewards.workers.pool import RewardInput, RewardPool


def try_file(path: Path, settings: RewardSettings) -> Iterator[dict[str, Any]]:
    """Per row of a JSON Lines file its `reward`, `parts` and `invalid`, in order, and `why` an answer is not the gold answer.

    A row has `response` and `answer`, and if wanted `prompt`, `num_tokens` and `finish_reason`, as the rows of a run's rollouts.jsonl.

    Errors: ValueError for a file that cannot be opened, `BadData` for one that is no text or empty and, with the line, for such a row.
    """
    inputs = [_read(line, where=f"{path}:{number}") for number, line in enumerate(_lines(path), start=1) if line.strip()]
    if not inputs:
        raise BadData(f"{path} has no rows, fix: each line is an object with `response` and `answer`")
    with RewardPool(settings) as pool:
        for item, score in zip(inputs, rewards_of(settings, pool).score_texts(inputs), strict=True):
            row: dict[str, Any] = {"reward": score.reward, "parts": score.parts, "invalid": score.invalid}
            if item.answer is not None and score.invalid is None and score.parts.get("accuracy") == 0.0:
                row["why"] = why_not_equal(item.answer, item.response, asks_for_block="format" in settings.weights)
            yield row


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise ValueError(f"{path} cannot be opened ({error.strerror}), fix: give a JSON Lines file") from None
    except UnicodeDecodeError as error:
        raise BadData(f"{path} is not UTF-8 ({error}), fix: write it again as JSON Lines in UTF-8") from None


def _read(line: str, *, where: str) -> RewardInput:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise BadData(f"{where} is not JSON ({error.msg}), fix: each line is an object with `response` and `answer`") from None
    if not isinstance(row, dict) or not isinstance(row.get("response"), str):
        raise BadData(f"{where} has no text `response`, fix: each line is an object with `response` and `answer`")
    answer, num_tokens = row.get("answer"), row.get("num_tokens")
    return RewardInput(
        response=row["response"],
        answer=json.dumps(answer) if isinstance(answer, list | dict) else answer,
        prompt=str(row.get("prompt", "")),
        num_tokens=num_tokens if isinstance(num_tokens, int) else None,
        is_truncated=row.get("finish_reason") == "length",
    )
