"""Why an answer earns nothing, for people: how it and the gold answer are read."""

from __future__ import annotations

from lmm_r1_mega.rewards.answers.extract import answer_region, final_answers, gold_text
from lmm_r1_mega.rewards.answers.kinds import Expression, Number, describe
from lmm_r1_mega.rewards.answers.parse import parse_answer

LONGEST = 80


def why_not_equal(gold: str | float, response: str, *, asks_for_block: bool) -> str:
    """One sentence about a response whose accuracy is 0.

    Example: gold "5", answer "not $5$" -> "`not $5$` is read as words, the gold answer `5` as number"
    """
    region = answer_region(response, block_asked=asks_for_block)
    if region is None:
        return "no answer block after the reasoning" if asks_for_block else "the reasoning or the answer block never closes"
    texts = final_answers(region)
    if not texts:
        return "the last box is empty or never closes" if region.strip() else "the answer is empty"
    text, is_named = texts[0]
    answer, right = parse_answer(text, is_named=is_named), parse_answer(gold_text(gold))
    units = [side.unit for side in (answer, right) if isinstance(side, Number | Expression) and side.unit and side.unit.dimension]
    units_differ = ": they measure different things" if len(units) == 2 and units[0].dimension != units[1].dimension else ""
    return f"`{_short(text)}` is read as {describe(answer)}, the gold answer `{_short(gold_text(gold))}` as {describe(right)}{units_differ}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
