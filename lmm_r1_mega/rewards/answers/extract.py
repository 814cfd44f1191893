"""Which part of a response is its answer, and whether the response keeps the form it was asked for.

What stands around a box or a value is parsed too: a sign, a unit or a "not" there belongs to the answer. Everything here is a few linear
scans: no regular expression that hostile text could make slow.
"""

from __future__ import annotations

import re
from decimal import Decimal

from lmm_r1_mega.rewards.answers.choices import DENIES
from lmm_r1_mega.rewards.answers.kinds import Words
from lmm_r1_mega.rewards.answers.normalize import WRAPPER, without_layout
from lmm_r1_mega.rewards.answers.parse import parse_answer
from lmm_r1_mega.rewards.answers.units import SCALE, parse_unit

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
MATH_DELIMITERS = re.compile(r"(?<!\\)\$+|\\[()\[\]]")
BOXES = ("\\boxed", "\\fbox")
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
"""A brace, or a backslash with the sign behind it, which is then no brace of its own."""

JOINT = re.compile(
    r"(?:[\s$,;.\u3001\uff0c\uff1b\u548c\u6216*]|\\[()\[\],;: ]|\b(?:and|or)\b|\\q?quad"
    r"|\\(?:text|mathrm)\s*\{\s*,?\s*(?:and|or)?\s*\}|[a-zA-Z](?:_\w)?\s*=)+"
)
"""Between boxes that are one answer."""
INTRODUCES = re.compile(r"(?:(?<![<>!\\])=|:|\\(?:Rightarrow|implies))$")
"""The end of what stands before a box in its formula and is no part of the value."""
OPERATES = re.compile(
    r"(?:[\d)}\]]\s*[-+*/^\u2212\u00d7\u00b7\u00f7]\s+|(?<![-=])[<>\u2260\u2264\u2265]\s+|[\d)}]\s*\(\s*"
    r"|\\(?:times|cdot|div|pm|mp|leq?|geq?|lt|gt|neq?|sin|cos|tan|log|ln|lg|sqrt|pi)(?![a-zA-Z])[\w^{}]*[\s{(]*)$"
)
"""Before a box outside formulas: part of an expression that starts somewhere before."""
ENCLOSES = re.compile(
    r"\\(?!text|math|bold|emph|under|color|displaystyle|large|Large|big|mbox|fbox|boxed)[a-zA-Z]+(?:\[[^\[\]]*\])?(?:\{[^{}]*\})*\{\s*$|\w?[\^_]\{\s*$"
)
ATTACHED = re.compile(r"[-+\u2212*/^=<>\u2260\u2264\u2265\u2248~\u221a\d.%]*$")
TOUCHING = re.compile(r"(?:\\(?:text|mathrm)\{[^{}]*\}|[a-zA-Z0-9^_{}\\!/\u00b0%])+")
DENIED = re.compile(
    r"(?:\bnot|n't|\bnever|\bcannot(?:\s+be)?|\bneither|\bnor|\bthan|\bat\s+least|\bat\s+most|\bbetween|\bup\s+to|\bexcept|\b(?:twice|double|triple|half|minus|negative|plus|times|by)"
    r"|\b(?:root|square|cube|half|third|quarter|reciprocal|inverse|negative|opposite|logarithm|multiple|factorial|percent|%)\s+of|"
    "\u4e0d\u662f|\u4e0d\u7b49\u4e8e|\u5927\u4e8e|\u5c0f\u4e8e|\u81f3\u5c11|\u81f3\u591a)"
    r"\s*(?:be|equal\s+to|the)?[\s$({\[\\:*]*$",
    re.IGNORECASE,
)
"""Before a box, so that its content is not what is said."""
GOES_ON = re.compile(
    r"\s*(?:(?:or|to)\b|\u6216|[-+\u2013~\u2212]\s*[\d(\\]|\+(?!\w)|[/^<>\u00d7\u00b7\u00f7\u2264\u2265]|\*[\d(\\]|\s\*\s"
    r"|\\(?:times|cdot|div|pi|sqrt|pm|mp|leq?|geq?|lt|gt|neq?)(?![a-zA-Z]))"
)
"""Behind a box, so that the answer does not end with it."""
CLAUSE_END = re.compile(r"[.,;:!?\n\u3002\uff0c\uff1b]")

REASON = re.compile(
    r"(?:[,;.]|\s)\s*(?:since|because|as)\s.*$|[,\uff0c]?\s*\u56e0\u4e3a.*$|\s?[,(]\s?not\s+\$?(?:[\d.]+|[A-H])\)?\.?\s*$|\n\s*(?:explanation|reason(?:ing)?)\b.*$",
    re.DOTALL | re.IGNORECASE,
)
LEAD = re.compile(
    r"\b(?:answer|option|choice|choose|is|are|was|were|equals?|has|have|had|get|gets|got|gives?|obtain|be|so|thus|hence|therefore|"
    r"sold|bought|needs?|makes?|made|costs?|spent|spends|earned|earns|paid|pays?|used|uses|reads?|ate|eats|took|takes|weighs|contains|holds|"
    r"received|saved)(?:\s+(?:is|are|be|that))?\s*[:\uff1a]?"
    r"(?=\W)|[:\uff1a](?!\d)|\u7b54\u6848[\u662f\u4e3a]?[:\uff1a]?|[\u662f\u4e3a\u6709\u5f97\u5171\u9009][:\uff1a]?|\u7b49\u4e8e",
    re.IGNORECASE,
)
"""Words of which the last says that the answer follows."""
OPENS = re.compile(
    r"^(?:(?:so|thus|hence|therefore|then)\b[,:]?\s*|[\u6545\u5219]\s*|\u6240\u4ee5[,\uff0c]?\s*|\u56e0\u6b64[,\uff0c]?\s*)+", re.IGNORECASE
)
RESULT = re.compile(
    r"\b(?:answer|result|solution|value|sum|product|difference|quotient|total|area|perimeter|volume|length|average|mean|probability|option)\b"
    "|\u7b54\u6848|\u7ed3\u679c|\u603b|\u9762\u79ef|\u5468\u957f|\u4f53\u79ef|\u9009",
    re.IGNORECASE,
)
"""What is asked for: with other numbers before it, nothing else is taken for the answer."""
OWNS = re.compile(r"(?!answer|option|choice|choose|is|are|was|were|equal|be|so|thus|hence|there)[a-z]", re.IGNORECASE)
"""Verbs behind which words are an object and no answer."""
MAX_LENGTH = 2000
DEEPEST = 4
"""Boxes in boxes."""


def gold_text(answer: str | float) -> str:
    """The gold answer as text: numbers without exponent, boxes taken off."""
    if isinstance(answer, float):
        return format(Decimal(repr(answer)), "f")
    text = str(answer)
    return (boxed_answer(text) or "") if "\\boxed" in text else text


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
    """The text in which the final answer is looked for; None if there is none.

    That is the last answer block after the reasoning. Without such a block it is everything after the reasoning if no block
    was asked for, and nothing if one was. Reasoning that never ends leaves nothing.
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


def answer_texts(region: str) -> list[str]:
    """What may be the answer in a region, the most complete text first; empty if the last box never closes or nothing is said.

    A text with a box says what is in the last one, with what belongs to it. Another is its own answer; if that makes no sense, what
    follows the last words that announce a value is.
    """
    region = without_layout(region)
    region = "\n".join(" ".join(line.split()) for line in region.split("\n") if line.strip())
    whole = WRAPPER.sub(r" \1 ", boxed_answer(region) or "" if has_box(region) else region).strip()
    texts = [whole, REASON.sub("", whole), OPENS.sub("", whole), announced(whole)]
    return [text for text in dict.fromkeys(texts) if text]


def final_answers(region: str) -> list[tuple[str, bool]]:
    """The first text that is more than words alone, and whether words before it have named it; else all of them."""
    texts = answer_texts(region)
    for text in texts:
        is_named = text != texts[0]
        if len(text) <= MAX_LENGTH and not isinstance(parse_answer(text, is_named=is_named), Words):
            return [(text, is_named)]
    return [(text, False) for text in texts]


def has_box(text: str) -> bool:
    return any(box in text for box in BOXES)


def announced(text: str) -> str | None:
    """What follows the last words that announce an answer; None if it is denied, or one value of several.

    Example: "So the total is 12." -> "12."; "It is not 5" and "He has 5 and she has 6" -> None
    """
    text = REASON.sub("", text)
    leads = list(LEAD.finditer(text))
    if not leads:
        return None
    lead = leads[-1]
    before = text[: lead.start()]
    clause = CLAUSE_END.split(before)[-1]
    subject = f"{clause}{lead.group()}"
    if DENIES.search(re.sub(r"\b(?:least|most|than)\b", "", clause)) or (re.search(r"\d", before) and not RESULT.search(subject)):
        return None
    rest = text[lead.end() :].strip()
    is_first = not any(map(str.strip, CLAUSE_END.split(before)[:-1]))
    is_aside = OWNS.match(lead.group()) or not (is_first or RESULT.search(subject))
    return rest if rest and not (is_aside and isinstance(parse_answer(rest), Words)) else None


def boxed_answer(text: str, *, depth: int = 0) -> str | None:
    r"""The content of the last `\boxed{...}`, or of the last ones if they are joined, with what belongs to it outside.

    None if it is empty or never closed.

    Example: `\boxed{5} or \boxed{6}` -> "5 or 6", `$-\boxed{5}$` -> "-5", `\boxed{5} million` -> "5 million"
    """
    boxes = _boxes(text)
    first = len(boxes) - 1
    while first > 0 and JOINT.fullmatch(text[boxes[first - 1][1] : boxes[first][0]]):
        first -= 1
    inner = "\\boxed" if depth < DEEPEST else "\0"
    contents = [boxed_answer(content, depth=depth + 1) if content and inner in content else content for _, _, content in boxes[first:]]
    if not all(contents) or not boxes:
        return None
    between = " ".join(text[boxes[i][1] : boxes[i + 1][0]] for i in range(first, len(boxes) - 1))
    answer = (" or " if re.search(r"\bor\b|\u6216", between) else ", ").join(str(content) for content in contents)
    before, after = text[: boxes[first][0]], text[boxes[-1][1] :]
    if DENIED.search(before):
        return f"not {answer}"
    return f"{_head(before)}{answer}{_tail(after, is_inside=_is_in_formula(before))}"


def _boxes(text: str) -> list[tuple[int, int, str | None]]:
    """Start, end and content of the outermost boxes; no content if one is empty or never closes."""
    boxes: list[tuple[int, int, str | None]] = []
    position = 0
    while starts := [(start, box) for box in BOXES if (start := text.find(box, position)) >= 0]:
        start, box = min(starts)
        opening = start + len(box)
        opening += len(text[opening:]) - len(text[opening:].lstrip())
        if text[opening : opening + 1] == "{":
            end = _closing(text, opening)
            content = text[opening + 1 : end - 1] if end else ""
        else:  # `\boxed\frac12`
            end = next((mark.start() for mark in re.finditer(r"[$\n]|\\[)\]]", text[opening:])), len(text) - opening) + opening
            content = text[opening:end]
        boxes.append((start, end or len(text), content.strip() or None))
        position = end or len(text)
    return boxes


def _closing(text: str, opening: int) -> int | None:
    """Behind the brace that closes the one at `opening`."""
    depth = 0
    for sign in BRACE.finditer(text, opening):
        depth += {"{": 1, "}": -1}.get(sign.group(), 0)
        if depth == 0:
            return sign.end()
    return None


def _is_in_formula(before: str) -> bool:
    marks = MATH_DELIMITERS.findall(before)
    return bool(marks) and (marks[-1] in ("\\(", "\\[") or (marks[-1].startswith("$") and sum(mark[0] == "$" for mark in marks) % 2 == 1))


def _head(before: str) -> str:
    """What is written before a box in its formula and belongs to the value; nothing if it ends in an equal sign."""
    head = MATH_DELIMITERS.split(before)[-1] if _is_in_formula(before) else _attached(before)
    head = head.strip(" *{\n")
    return "" if not head or INTRODUCES.search(head) else f"{head} "


def _attached(before: str) -> str:
    if enclosing := ENCLOSES.search(before[-40:]):
        return enclosing.group()
    if OPERATES.search(before[-40:]):
        return "? "
    attached = ATTACHED.search(before[-40:])
    head = attached.group() if attached else ""
    return "" if set(head) <= set("*.") else head


def _tail(after: str, *, is_inside: bool) -> str:
    """What is written behind a box and belongs to its value: the rest of its formula, a scale, a unit, "or more"."""
    inside, outside = _cut(after) if is_inside else _touching(after)
    inside = inside.strip(" .,;")
    inside = inside.rstrip("}") if inside.count("}") > inside.count("{") else inside
    outside = outside if re.match(r"\*[\d(\\]", outside) else outside.lstrip("$*")
    first = CLAUSE_END.split(outside, maxsplit=1)[0]
    word = first.split(maxsplit=1)[0] if first.split() else ""
    if GOES_ON.match(outside) or SCALE.match(outside):
        return f"{inside} {first.lstrip()}"
    unit = parse_unit(f" {word}") if word and not inside else None
    is_unit = unit and not unit.is_thing and len(word) > 1
    return f" {word}" if is_unit or (not inside and first.strip() == word and len(word) == 1) else inside


def _cut(text: str) -> tuple[str, str]:
    """The rest of a formula, and what follows it."""
    end = MATH_DELIMITERS.search(text)
    return (text[: end.start()], text[end.end() :]) if end else (text, "")


def _touching(text: str) -> tuple[str, str]:
    """What touches a box outside a formula, and what follows it."""
    touching = TOUCHING.match(text)
    return (touching.group(), text[touching.end() :]) if touching else ("", text)
