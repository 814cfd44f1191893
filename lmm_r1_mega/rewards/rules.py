"""The rule rewards as a table: what one response is worth by form, by correctness, by length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lmm_r1_mega.rewards.answers.equality import Unscorable, answers_gold, gold_problem
from lmm_r1_mega.rewards.answers.extract import answer_region, format_reward, gold_text
from lmm_r1_mega.rewards.grounding import Box, area, boxes_in, mean_iou, points_in, share_hit
from lmm_r1_mega.rewards.messages import Answer, RewardInput, Terms, Verdict
from lmm_r1_mega.rewards.penalties import overlong_penalty, repetition_penalty
from lmm_r1_mega.rewards.sokoban import best_return, is_solution, moves_in
from lmm_r1_mega.sokoban.room import Room, parse_room

MISSING = "missing gold answer"


@dataclass(frozen=True)
class Rule:
    """A component of the reward."""

    part: Callable[[RewardInput, Terms], float]
    """What a response earns; raises `Unscorable` where that cannot be said."""
    gold_problem: Callable[[Answer], str | None] | None = None
    """What is wrong with a gold answer, for a rule that compares with it."""


def format_part(given: RewardInput, terms: Terms) -> float:
    """1.0 for a think block and an answer block and nothing else."""
    del terms
    return format_reward(given.response)


def accuracy_part(given: RewardInput, terms: Terms) -> float:
    """1.0 where the response's final answer equals the gold answer, else 0.0."""
    problem = gold_problem(given.answer)
    if problem or given.answer is None:
        raise Unscorable(problem or MISSING)
    region = answer_region(given.response, block_asked=terms.asks_for_block)
    return float(region is not None and answers_gold(gold_text(given.answer), region))


def iou_part(given: RewardInput, terms: Terms) -> float:
    """How well the answer's boxes cover the gold answer's, 0 to 1."""
    return mean_iou(boxes_in(_region(given, terms)), _gold_boxes(given.answer))


def point_in_box_part(given: RewardInput, terms: Terms) -> float:
    """Share of the gold answer's boxes that the answer's points hit, 0 to 1."""
    return share_hit(points_in(_region(given, terms)), _gold_boxes(given.answer))


def sokoban_part(given: RewardInput, terms: Terms) -> float:
    """What the answer's moves earn in the gold answer's room."""
    return best_return(_gold_room(given.answer), moves_in(_region(given, terms)))


def solved_part(given: RewardInput, terms: Terms) -> float:
    """1.0 where the answer's moves solve the gold answer's room, else 0.0."""
    return float(is_solution(_gold_room(given.answer), moves_in(_region(given, terms))))


def overlong_part(given: RewardInput, terms: Terms) -> float:
    """DAPO's soft penalty for length, -1 to 0."""
    if given.num_tokens is None or terms.overlong is None:
        raise Unscorable("unknown number of tokens")
    free, limit = terms.overlong
    return overlong_penalty(given.num_tokens, free=free, limit=limit)


def repetition_part(given: RewardInput, terms: Terms) -> float:
    """Penalty for saying the same again, -1 to 0."""
    return repetition_penalty(given.response, ngram=terms.repetition_ngram)


def _region(given: RewardInput, terms: Terms) -> str:
    return answer_region(given.response, block_asked=terms.asks_for_block) or ""


def _gold_boxes(answer: Answer) -> list[Box]:
    if answer is None:
        raise Unscorable(MISSING)
    boxes = boxes_in(str(answer))
    if not boxes or not all(map(area, boxes)):
        raise Unscorable("gold answer without boxes [x1, y1, x2, y2]")
    return boxes


def _gold_room(answer: Answer) -> Room:
    if answer is None:
        raise Unscorable(MISSING)
    try:
        return parse_room(str(answer))
    except ValueError as problem:
        raise Unscorable("gold answer is no room") from problem


def _problem_of(read: Callable[[Answer], object]) -> Callable[[Answer], str | None]:
    """Why a gold answer cannot be read, from the function that reads it."""

    def problem(answer: Answer) -> str | None:
        try:
            read(answer)
        except Unscorable as reason:
            return f"{reason}: {reason.__cause__}" if reason.__cause__ else str(reason)
        return None

    return problem


RULES: dict[str, Rule] = {
    "format": Rule(format_part),
    "accuracy": Rule(accuracy_part, gold_problem),
    "iou": Rule(iou_part, _problem_of(_gold_boxes)),
    "point_in_box": Rule(point_in_box_part, _problem_of(_gold_boxes)),
    "solved": Rule(solved_part, _problem_of(_gold_room)),
    "sokoban": Rule(sokoban_part, _problem_of(_gold_room)),
    "overlong": Rule(overlong_part),
    "repetition": Rule(repetition_part),
}


def judge(given: RewardInput, terms: Terms) -> Verdict:
    """The named parts of one response."""
    parts: dict[str, float] = {}
    try:
        for name in terms.names:
            parts[name] = RULES[name].part(given, terms)
    except Unscorable as reason:
        return Verdict(parts, str(reason))
    except RecursionError:
        return Verdict(parts, "recursion limit")
    except MemoryError:  # this worker ends: it may keep what filled its memory
        raise
    except Exception as error:  # whatever a model's text runs into costs its own verdict, not the worker
        return Verdict(parts, f"raised {type(error).__name__}")
    return Verdict(parts)


def gold_verdict(given: RewardInput, terms: Terms) -> Verdict:
    """What is wrong with the gold answer alone, as `invalid`; nothing where no rule compares with it."""
    checks = [check for name in terms.names if (check := RULES[name].gold_problem)]
    try:
        return Verdict({}, next((problem for check in checks if (problem := check(given.answer))), None))
    except MemoryError:
        raise
    except Exception:  # whatever the text runs into, no response can be compared with it
        return Verdict({}, "unparsable gold answer")
