"""The rule rewards as a table: what one response is worth by form and by correctness."""

from __future__ import annotations

from collections.abc import Callable, Collection

from lmm_r1_mega.rewards.equality import Unscorable, gold_problem, gold_text, is_correct
from lmm_r1_mega.rewards.extract import answer_region, final_expression, format_reward
from lmm_r1_mega.rewards.messages import RewardInput, Verdict


def format_part(given: RewardInput, *, block_asked: bool) -> float:
    """1.0 for a think block and an answer block and nothing else."""
    del block_asked
    return format_reward(given.response)


def accuracy_part(given: RewardInput, *, block_asked: bool) -> float:
    """1.0 where the response's final answer equals the gold answer, else 0.0; `Unscorable` for a gold answer with a problem."""
    problem = gold_problem(given.answer)
    if problem or given.answer is None:
        raise Unscorable(problem or "missing gold answer")
    region = answer_region(given.response, block_asked=block_asked)
    answer = final_expression(region) if region else None
    return float(answer is not None and is_correct(gold_text(given.answer), answer))


RULES: dict[str, Callable[..., float]] = {"format": format_part, "accuracy": accuracy_part}


def judge(given: RewardInput, names: Collection[str]) -> Verdict:
    """The named parts of one response. An answer block counts as asked for where `format` is among the names."""
    parts = {}
    try:
        for name in names:
            parts[name] = RULES[name](given, block_asked="format" in names)
    except Unscorable as reason:
        return Verdict(parts, str(reason))
    except RecursionError:
        return Verdict(parts, "recursion limit")
    except MemoryError:
        return Verdict(parts, "memory limit")
    return Verdict(parts)


def gold_verdict(given: RewardInput) -> Verdict:
    """What is wrong with the gold answer alone, as `invalid`."""
    try:
        return Verdict({}, gold_problem(given.answer))
    except (RecursionError, MemoryError):
        return Verdict({}, "unparsable gold answer")
