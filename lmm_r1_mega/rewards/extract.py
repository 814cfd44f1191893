"""Which part of a response is its answer, and whether the response keeps the form it was asked for.

Everything here is a few linear scans: no regular expression that hostile text could make slow.
"""

from __future__ import annotations

import re

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
ANSWER_IS = re.compile(r"\banswer(?:\s+is\b|\s*:)\s*:?|\u7b54\u6848(?:[\u662f\u4e3a]|\s*[:\uff1a])", re.IGNORECASE)
"""In English and in Chinese."""
MATH_DELIMITERS = re.compile(r"(?<!\\)\$+|\\[()\[\]]")
BOXES = ("\\boxed", "\\fbox")
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
"""A brace, or a backslash with the sign behind it, which is then no brace of its own."""


def format_reward(response: str) -> float:
    """1.0 for one think block, then one answer block, with nothing but white space around and between; else 0.0."""
    text = response.strip()
    if any(text.count(tag) != 1 for tag in TAGS):
        return 0.0
    _, think_end, answer_start, _ = (text.index(tag) for tag in TAGS)
    between = text[think_end + len("</think>") : answer_start]
    ordered = text.startswith("<think>") and think_end < answer_start and text.endswith("</answer>")
    return float(ordered and not between.strip())


def answer_region(response: str, *, block_asked: bool) -> str | None:
    """The text in which the final answer is looked for; None where there is none.

    That is the last answer block after the reasoning. Without such a block it is everything after the reasoning where no block
    was asked for, and nothing where one was. Reasoning that never ends leaves nothing.
    """
    _, end, rest = response.rpartition("</think>")
    if not end and "<think>" in response:
        return None
    before, closing, _ = rest.rpartition("</answer>")
    _, opening, block = before.rpartition("<answer>")
    if closing and opening:
        return block
    if block_asked or "<answer>" in rest:
        return None
    return rest


def final_expression(region: str) -> str | None:
    """The last box of a text; without boxes its last formula; without formulas what follows "answer is" or the whole text.

    None where the last box never closes or nothing is left.
    """
    if any(box in region for box in BOXES):
        return last_box(region)
    _, answer_is, tail = _last_match(ANSWER_IS, region)
    if answer_is:
        region = tail
    formula = _last_formula(region)
    return (formula if formula is not None else region).strip() or None


def last_box(text: str) -> str | None:
    r"""The content of the last `\boxed{...}`, braces matched; None where it is empty or never closed."""
    start = max(text.rfind(box) + len(box) for box in BOXES if box in text)
    opening = text.find("{", start)
    if opening < 0 or text[start:opening].strip():
        return None
    depth = 0
    for sign in BRACE.finditer(text, opening):
        depth += {"{": 1, "}": -1}.get(sign.group(), 0)
        if depth == 0:
            return text[opening + 1 : sign.start()].strip() or None
    return None


def _last_formula(text: str) -> str | None:
    """The last formula of prose; None where formulas joined by `and`, `or` and commas make up the whole text."""
    pieces = MATH_DELIMITERS.split(text)
    if len(pieces) < 3:
        return None
    outside = " ".join(pieces[0::2])
    if not re.sub(r"\b(?:and|or)\b|[\s,.;]", "", outside):
        return None
    return pieces[1::2][-1] if len(pieces) % 2 else pieces[-2]


def _last_match(pattern: re.Pattern[str], text: str) -> tuple[str, str, str]:
    """The text before, in and after the last match, as `str.rpartition` gives them."""
    found = list(pattern.finditer(text))
    if not found:
        return "", "", text
    return text[: found[-1].start()], found[-1].group(), text[found[-1].end() :]
