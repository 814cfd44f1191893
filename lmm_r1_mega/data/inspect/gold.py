"""Which gold answers the rewards can compare with, asked once per answer."""

from __future__ import annotations

import re
from collections.abc import Callable

from lmm_r1_mega.schema import GoldAnswer

GoldProblems = Callable[[list[GoldAnswer]], list[str | None]]
"""For each gold answer what is wrong with it, or None."""

_PLAIN = re.compile(r"\$?(?:-?[0-9]{1,15}(?:\.[0-9]{1,15})?|[A-H])\$?")
_MOST_KNOWN = 2**16


class GoldAnswers:
    """Judges answers, sparing the numbers and option letters that need no judge and those that it has just seen."""

    def __init__(self, judge: GoldProblems | None) -> None:
        self._judge = judge
        self._known: dict[str, str | None] = {}

    def problems(self, answers: list[GoldAnswer]) -> list[str | None]:
        """For each answer what is wrong with it; nothing if there is no judge."""
        if self._judge is None:
            return [None] * len(answers)
        spelled = ["" if is_plain(answer) else repr(answer) for answer in answers]
        if len(self._known) > _MOST_KNOWN:
            self._known = {}
        new = {text: answer for text, answer in zip(spelled, answers, strict=True) if text and text not in self._known}
        self._known |= zip(new, self._judge(list(new.values())), strict=True)
        return [self._known[text] if text else None for text in spelled]


def is_plain(answer: GoldAnswer) -> bool:
    """Whether an answer is a number of ordinary length or an option letter, which every rule can compare."""
    return _PLAIN.fullmatch(answer if isinstance(answer, str) else repr(answer)) is not None
