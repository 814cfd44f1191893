"""Gold answers that rewards can compare with: without one in a whole file nothing can be learned or measured there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lmm_r1_mega.errors import BadData
from lmm_r1_mega.rewards.workers.pool import RewardPool
from lmm_r1_mega.schema import GoldAnswer

AT_A_TIME = 256


def scorable_rows(pool: RewardPool, answers: Sequence[GoldAnswer], *, source: str, count: int = 1) -> list[int]:
    """The first `count` rows, or fewer if there are not so many, whose gold answer the rules can compare with.

    Raises: BadData when there is none, with the reasons.
    """
    rows: list[int] = []
    problems: Counter[str] = Counter()
    for start in range(0, len(answers), AT_A_TIME):
        for row, problem in enumerate(pool.gold_problems(answers[start : start + AT_A_TIME]), start=start):
            rows += [row] if problem is None else []
            problems.update([problem] if problem else [])
        if len(rows) >= count:
            break
    if not rows:
        raise BadData(
            f"{source}: none of {len(answers)} gold answers can be scored by {', '.join(pool.weights)} ({counted(problems)}), "
            f"fix: set data.label_key to the column of the answers, or choose other reward.weights; `lmm-r1-mega data check` shows the rows"
        )
    return rows[:count]


def counted(reasons: Counter[str]) -> str:
    """Example: `7 x timeout, 1 x missing gold answer`."""
    return ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common(5))
