"""The rule rewards as a table: what one response is worth by form, by correctness, by length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lmm_r1_mega.rewards.answers.equality import Unscorable, answers_gold, gold_problem
from lmm_r1_mega.rewards.answers.extract import answer_region, format_reward, gold_text
from lmm_r1_mega.rewards.messages import PartialReward, RewardInput, RuleSettings
from lmm_r1_mega.rewards.rules.grounding import Box, area, boxes_in, mean_iou, points_in, share_hit
from lmm_r1_mega.rewards.rules.penalties import overlong_penalty, repetition_penalty
from lmm_r1_mega.rewards.rules.sokoban import best_return, is_solution, moves_in
from lmm_r1_mega.rewards.rules.sokoban_room import Room, parse_room
from lmm_r1_mega.schema import GoldAnswer

MISSING = "missing gold answer"


@dataclass(frozen=True)
class Rule:
    """A component of the reward."""

    part: Callable[[RewardInput, RuleSettings], float]
    """What a response earns; raises `Unscorable` when that cannot be said."""
    gold_problem: Callable[[GoldAnswer], str | None] | None = None
    """What is wrong with a gold answer, for a rule that compares with it."""


def accuracy_part(item: RewardInput, settings: RuleSettings) -> float:
    """1.0 if the response's final answer equals the gold answer, else 0.0."""
    problem = gold_problem(item.answer)
    if problem or item.answer is None:
        raise Unscorable(problem or MISSING)
    region = answer_region(item.response, block_asked=settings.asks_for_block)
    return float(region is not None and answers_gold(gold_text(item.answer), region))


def overlong_part(item: RewardInput, settings: RuleSettings) -> float:
    """DAPO's soft penalty for length, -1 to 0."""
    if item.num_tokens is None or settings.overlong is None:
        raise Unscorable("unknown number of tokens")
    free, limit = settings.overlong
    return overlong_penalty(item.num_tokens, free=free, limit=limit)


def _region(item: RewardInput, settings: RuleSettings) -> str:
    return answer_region(item.response, block_asked=settings.asks_for_block) or ""


def _gold_boxes(answer: GoldAnswer) -> list[Box]:
    if answer is None:
        raise Unscorable(MISSING)
    boxes = boxes_in(str(answer))
    if not boxes or not all(map(area, boxes)):
        raise Unscorable("gold answer without boxes [x1, y1, x2, y2]")
    return boxes


def _gold_room(answer: GoldAnswer) -> Room:
    if answer is None:
        raise Unscorable(MISSING)
    try:
        return parse_room(str(answer))
    except ValueError as problem:
        raise Unscorable("gold answer is no room") from problem


def _problem_of(read: Callable[[GoldAnswer], object]) -> Callable[[GoldAnswer], str | None]:
    """Why a gold answer cannot be read, from the function that reads it."""

    def problem(answer: GoldAnswer) -> str | None:
        try:
            read(answer)
        except Unscorable as reason:
            return f"{reason}: {reason.__cause__}" if reason.__cause__ else str(reason)
        return None

    return problem


RULES: dict[str, Rule] = {
    "format": Rule(lambda item, _: format_reward(item.response)),
    "accuracy": Rule(accuracy_part, gold_problem),
    "iou": Rule(lambda item, settings: mean_iou(boxes_in(_region(item, settings)), _gold_boxes(item.answer)), _problem_of(_gold_boxes)),
    "point_in_box": Rule(
        lambda item, settings: share_hit(points_in(_region(item, settings)), _gold_boxes(item.answer)), _problem_of(_gold_boxes)
    ),
    "solved": Rule(
        lambda item, settings: float(is_solution(_gold_room(item.answer), moves_in(_region(item, settings)))), _problem_of(_gold_room)
    ),
    "sokoban": Rule(
        lambda item, settings: best_return(_gold_room(item.answer), moves_in(_region(item, settings))), _problem_of(_gold_room)
    ),
    "overlong": Rule(overlong_part),
    "repetition": Rule(lambda item, settings: repetition_penalty(item.response, ngram=settings.repetition_ngram)),
}
"""Name -> what it pays (`docs/rewards.md` says what each means)."""


def score_response(item: RewardInput, settings: RuleSettings) -> PartialReward:
    """The named parts of one response."""
    parts: dict[str, float] = {}
    try:
        for name in settings.names:
            parts[name] = RULES[name].part(item, settings)
    except Unscorable as reason:
        return PartialReward(parts, str(reason))
    except RecursionError:
        return PartialReward(parts, "recursion limit")
    except MemoryError:  # this worker ends: it may keep what filled its memory
        raise
    except Exception as error:  # whatever a model's text runs into costs its own reward, not the worker
        return PartialReward(parts, f"raised {type(error).__name__}")
    return PartialReward(parts)


def check_gold(item: RewardInput, settings: RuleSettings) -> PartialReward:
    """What is wrong with the gold answer alone, as `invalid`; nothing if no rule compares with it."""
    checks = [check for name in settings.names if (check := RULES[name].gold_problem)]
    try:
        return PartialReward({}, next((problem for check in checks if (problem := check(item.answer))), None))
    except MemoryError:
        raise
    except Exception:  # whatever the text runs into, no response can be compared with it
        return PartialReward({}, "unparsable gold answer")
