"""What an answer says: an option, a notation, a value with its unit, several of them, a relation, or words.

Every form is recognised by the whole text: nothing of it is left unread. What no form accounts for is words and compares as words.
Text in; text and exact fractions out, no algebra is worked out here (`equality` does).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from lmm_r1_mega.rewards.answers.algebra import in_latex, is_algebra, is_numeric
from lmm_r1_mega.rewards.answers.quantity import ABOUT, EQUALS, IN_TOTAL, Quantity, compound_quantity, parse_quantity
from lmm_r1_mega.rewards.answers.times import calendar_date, clock_time
from lmm_r1_mega.rewards.answers.undress import strip_spaces, undress
from lmm_r1_mega.rewards.answers.values import LIST_MARK, OR, both_signs, inequality, split_brackets, split_top_level

OPTION_IS = re.compile(
    r"(?:(?:the\s+)?(?:(?:correct|final|right|best)\s+)?(?:option|choice|answer)(?:\s+is|:)?:?"
    "|\u6545?(?:\u9009\u9879|\u9009\u62e9|\u9009|\u7b54\u6848)[\u662f\u4e3a:]?"
    r")\s*",
    re.IGNORECASE,
)
"""What may stand before an option letter, in English and in Chinese."""
OPTION_RIGHT = re.compile(
    r"\s*(?:is|would be)\s+(?:the\s+)?(?:correct|right|true|answer|best)(?:\s+(?:one|option|choice|answer))?|\s*\u9009\u9879", re.IGNORECASE
)
"""What may stand behind it."""
OPTION = re.compile(
    r"[(\[]([A-Ha-h])[)\]][.:,]?(?:\s*(.*))?|([A-Ha-h])(?:[.)](?:\s(.*))?)?|([A-H])(?:[:,]\s*(?![A-H]\b)(.*)|[.](?=\D)(.*)|\s((?:[A-Z][a-z]|[\d$\\]).*))",
    re.DOTALL,
)
OTHER_OPTIONS = re.compile(r"(?<![a-zA-Z\d])(?:[(\[][A-Ha-h][)\]]|[A-Ha-h][.):](?!\S))|^(?:(?:and|or)\b|[A-H]\b|[\s,;/&])+$")
"""Behind an option letter: another in its dress, or bare letters alone."""
OTHER_LETTER = re.compile(r"(?<![\w\\])[A-H](?![\w'])")
HEDGES = re.compile(r"\b(?:but|also|or|possible|though|although|however|either|both|actually|wait|instead|correct)\b", re.IGNORECASE)
SAYS_OF_IT = re.compile(
    r"(?:is|was|are|can|cannot|could|may|might|would|does|seems|or|and|but|unless|except|maybe|perhaps|possibly|wait|though|however|then)\b"
)
"""At the start of what stands behind an option letter: the letter's verdict and not its text."""
NOT_ANOTHER = re.compile(r"^not\s+[(\[]?[A-H][)\]]?$|\bneither\s+[A-H]\s+nor\s+[A-H]\b")
LETTERS = re.compile(r"[(\[]?[A-H][)\]]?(?:(?:\s*[,;&]\s*(?:and\s+)?|\s+and\s+|\s*\u548c\s*|\s*)[(\[]?[A-H][)\]]?)+")
LABELED = re.compile(r"\(([A-H])\)[^()]*")
POINT = re.compile(r"([ABD-OQ-Z])'?\s*(\([^()]*,[^()]*\))")
ROMAN = "(?:I{1,3}|IV|VI{0,3})"
ROMANS = re.compile(rf"(?:statements?\s+)?({ROMAN}(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+){ROMAN})+)(?:\s+only)?", re.IGNORECASE)
STATEMENTS = re.compile(r"\(\d{1,2}\)(?:(?:\s*[,;]?\s*(?:and\s+)?|\s*\u548c\s*)\(\d{1,2}\))+")
DIGITS = "[0-9a-zA-Z]+"
BASE = re.compile(rf"(?:\(({DIGITS})\)|\{{({DIGITS})\}}|({DIGITS}))(?:_\{{?\s*(\d{{1,2}})\s*\}}?|\s*\(?\s*(?:in\s+)?base\s+(\d{{1,2}})\)?)")
RANGE_MARK = re.compile(r"\s*(?:[-~]|\\sim(?![a-zA-Z])|\bto\b|\band\b|\u81f3|\u5230)\s*")
RANGE_OPENING = re.compile(r"(?:between|from)\s+", re.IGNORECASE)
BARE_BOUND = re.compile(r"(-?[$\u20ac\u00a3\u00a5]?)\d+(?:\.\d+)?(?:%|\s*[a-zA-Z\u4e00-\u9fff\\ ]*)")
DASHED = re.compile(r"\+?\d+(?:-\d+){2,}|0\d*-\d+|\d+-0\d+|\(\d+\)\s*\d+-\d+")
"""Telephone numbers and the like: no arithmetic."""
ORDER_SIGN = re.compile(r"<|>|\\(?:le|ge|lt|gt)(?![a-zA-Z])")
SET_BUILDER = re.compile(
    r"\\?\{\s*([a-zA-Z])\s*(?:\\in\s*(?:\\mathbb\s*\{\s*R\s*\}|R)\s*)?(?:\\mid(?![a-zA-Z])|\\vert(?![a-zA-Z])|\||:)(.*)\\?\}"
)
IN_THE_REALS = re.compile(r",\s*[a-zA-Z]\s*\\in\s*(?:\\mathbb\s*\{\s*R\s*\}|R)\s*$")

NOT_OF_A_NAME = re.compile(
    r"\\angle\s*\d(?!\d)|\\[a-zA-Z]+|(?<=[a-zA-Z}'])\([-+.,/ \d]*\)|_\{[^{}]*\}|_\w|'|\([a-zA-Z, ]*\)|[a-zA-Z{}\s\u4e00-\u9fff]"
)
DENIES = re.compile(
    r"(?:\b(?:not|never|cannot|neither|nor|no|except|without|unless|wrong|incorrect|false|may|might|maybe|could|perhaps|possibly|than|unknown|unclear|"
    r"least|most|if)\b|n't\b|[\u4e0d\u6ca1\u65e0\u975e\u9519\u672a]|\u53ef\u80fd|\u4e5f\u8bb8|\u6216\u8bb8)",
    re.IGNORECASE,
)
"""With one of these before it, a value is not what is said."""

MAX_FORM_LENGTH = 2000
ARTICLE = re.compile(r"^(?:an?|the|it)\s+(?=\w)")
YES_OR_NO = re.compile(r"(?:(yes)|no),? (?:it|they|he|she|there) (?:is|are|was|were|does|do|did|has|have)(n't| not)?")
ACRONYM = re.compile(r"(?<![\w.])[A-Z](?:\.[A-Z])+(?!\w)\.?")
ALIASES = {
    **dict.fromkeys(("all real numbers", "all reals", "the real numbers", "the set of all real numbers", "any real number"), "\\mathbb{R}"),
    **dict.fromkeys(("(-\\infty,\\infty)", "\u5168\u4f53\u5b9e\u6570", "\u4efb\u610f\u5b9e\u6570"), "\\mathbb{R}"),
    **dict.fromkeys(("no solutions", "no solution:\\emptyset", "there is no solution", "there are no solutions"), "no solution"),
    "infinity": "\\infty", "positive infinity": "\\infty", "negative infinity": "-\\infty", "empty set": "\\emptyset",
    "the empty set": "\\emptyset", "dne": "does not exist",
}  # fmt: skip


@dataclass(frozen=True)
class Option:
    """A single option letter in any dress, with what stands behind it."""

    letter: str
    text: str = ""


@dataclass(frozen=True)
class Notation:
    """Members that are compared one by one, never calculated with."""

    sort: Literal["letters", "statements", "clock", "date", "range", "ratio", "order", "base"]
    members: tuple[str, ...]


@dataclass(frozen=True)
class Members:
    """Several answers: a list, tuple, set or interval."""

    items: tuple[ParsedAnswer, ...]
    brackets: str
    r"""`(]`, `{}` and the like; empty for a list."""
    is_ordered: bool


@dataclass(frozen=True)
class Assignment:
    """Values of names: `x=1, y=2`, `x \\in (1,2)`, `1<x<2`."""

    names: tuple[str, ...]
    values: tuple[ParsedAnswer, ...]
    steps: tuple[str, ...] = ()
    """Between the name and the value: `12/3` of `x = 12/3 = 4`."""

    @property
    def variables(self) -> set[str]:
        """The names without their indices."""
        return {strip_spaces(name.split("_")[0]) for name in self.names}

    @property
    def value(self) -> ParsedAnswer:
        """All values as one answer: a tuple where they are of different variables."""
        if len(self.values) == 1:
            return self.values[0]
        is_tuple = len(self.variables) > 1
        return ParsedAnswer("", Members(self.values, "()" if is_tuple else "", is_ordered=is_tuple))


@dataclass(frozen=True)
class Equation:
    """Two sides of which neither is a name."""

    text: str


@dataclass(frozen=True)
class Words:
    """Everything else."""

    words: str


Form = Option | Notation | Quantity | Members | Assignment | Equation | Words


@dataclass(frozen=True)
class ParsedAnswer:
    """An answer and its form."""

    text: str
    """In one spelling, with no more space than keeps words and numbers apart."""
    form: Form

    @property
    def is_words(self) -> bool:
        return isinstance(self.form, Words)


@lru_cache(maxsize=16384)
def parse_answer(answer: str, *, is_named: bool = False) -> ParsedAnswer:
    r"""The form of an answer. `is_named` where words before it have said what it is the value of.

    Example: `$x = 10{,}000\text{ cm}$` is an assignment of "x" with the quantity 10000 cm, `not $5$` is words
    """
    text = undress(answer)
    words = _words(text)
    alias = ALIASES.get(strip_spaces(words), ALIASES.get(words))
    form: Form | None = None
    if alias:
        text, words = alias, alias
    if ALIASES.get(words) != words and len(text) <= MAX_FORM_LENGTH:
        form = next((found for read in (_option, _letters, _statements, _time, _base) if (found := read(text))), None)
        form = form or _mathematics(ABOUT.sub("", IN_TOTAL.sub("", text)), is_named=is_named)
    return ParsedAnswer(strip_spaces(text), form or Words(words))


def describe(parsed: ParsedAnswer) -> str:
    """What an answer is taken for, in words."""
    form = parsed.form
    if isinstance(form, Notation):
        return form.sort
    if isinstance(form, Quantity):
        what = "number" if form.number else "expression"
        return f"{what} with a unit" if form.unit else what
    return {Option: "option", Members: "several answers", Assignment: "value of a name", Equation: "equation", Words: "words"}[type(form)]


def _words(text: str) -> str:
    text = ACRONYM.sub(lambda found: found[0].replace(".", ""), text)
    words = " ".join(text.replace("\\ldots", "...").split()).lower().strip(" .!\"'")
    said = YES_OR_NO.fullmatch(words)
    return words.split()[0].rstrip(",") if said and bool(said[1]) != bool(said[2]) else ARTICLE.sub("", words)


def _option(text: str) -> Option | None:
    """`A` for "A", "(a)", "A)", "[A]", "A. 5", "(A) 5", "option A", "A is correct"; None for everything else, also for two letters."""
    introduction = OPTION_IS.match(text)
    text = text[introduction.end() :] if introduction else text
    if re.match(r"[(\[]?[A-H][)\]]?", text):
        text = OPTION_RIGHT.sub("", text) if OPTION_RIGHT.search(text) else text
    found = OPTION.fullmatch(text.strip(" .:"))
    if not found:
        return None
    letter = found[1] or found[3] or found[5]
    behind = next((part for part in (found[2], found[4], found[6], found[7], found[8]) if part), "")
    rest = NOT_ANOTHER.sub("", behind.strip())
    is_other = any(other != letter for other in OTHER_LETTER.findall(rest)) and (HEDGES.search(rest) or DENIES.search(rest))
    return None if is_other or OTHER_OPTIONS.search(rest) or SAYS_OF_IT.match(rest) else Option(letter.upper(), rest)


def _letters(text: str) -> Notation | None:
    is_labeled = re.match(r"(?:\([A-H]\)[^()]*){2,}$", text) and not (HEDGES.search(text) or DENIES.search(text))
    if not (is_labeled or LETTERS.fullmatch(text)):
        return None
    letters = LABELED.findall(text) if is_labeled else re.findall("[A-H]", text)
    return Notation("letters", tuple(letters)) if len(set(letters)) == len(letters) else None


def _statements(text: str) -> Notation | None:
    if romans := ROMANS.fullmatch(text):
        return Notation("statements", tuple(re.findall("[ivIV]+", romans[1].upper())))
    return Notation("statements", tuple(re.findall(r"\d+", text))) if STATEMENTS.fullmatch(text) else None


def _time(text: str) -> Notation | None:
    clock, date = clock_time(text), calendar_date(text)
    return Notation("clock", clock) if clock else Notation("date", date) if date else None


def _base(text: str) -> Notation | None:
    """Digits and their base: `1010_2`, `(1010)_2`, `FF_{16}`."""
    found = BASE.fullmatch(text)
    digits, base = ((found[1] or found[2] or found[3]).lower(), int(found[4] or found[5])) if found else ("", 0)
    is_number = (len(digits) > 1 or digits.isdigit()) and base > 1 and all(int(sign, 36) < base for sign in digits)
    return Notation("base", (digits.lstrip("0"), str(base))) if is_number else None


def _mathematics(text: str, *, is_named: bool = False) -> Form | None:
    if DASHED.fullmatch(text):
        return None
    if point := POINT.fullmatch(text):
        return Assignment((point[1],), (parse_answer(point[2]),))
    readers: tuple[Callable[[str], Form | None], ...] = (compound_quantity, _range, _inequality, _order, _approximation)
    form = next((found for read in readers if (found := read(text))), None)
    latex = in_latex(text)
    return form or _assignment(latex, is_named=is_named) or _members(latex) or _ratio(latex) or parse_quantity(latex)


def _range(text: str) -> Notation | None:
    """`3-5 days`, `10 to 20`, `between 5 and 6`."""
    opening = RANGE_OPENING.match(text)
    text = text[opening.end() :] if opening else text
    for mark in list(RANGE_MARK.finditer(text))[:4]:
        low, high, sign = text[: mark.start()], text[mark.end() :], mark.group().strip()
        if (sign == "and" and not opening) or high.startswith(("-", "+")):
            continue
        is_bare = sign in ("to", "and") or (BARE_BOUND.fullmatch(low) and BARE_BOUND.fullmatch(high))
        bounds = [parse_quantity(bound) for bound in (low, high)] if is_bare else []
        if bounds and all(bound and bound.number for bound in bounds):
            return Notation("range", (low, high))
    return None


def _inequality(text: str) -> Assignment | None:
    """Inequalities of one variable as its interval, also those of a set `{x | 1<x<2}`."""
    builder = SET_BUILDER.fullmatch(text)
    found = inequality(IN_THE_REALS.sub("", builder[2].strip().removesuffix("\\")) if builder else text)
    if not found or (builder and builder[1] != found[0]):
        return None
    values = parse_answer(found[1])
    return None if values.is_words else Assignment((found[0],), (values,))


def _order(text: str) -> Notation | None:
    """`a<b<c` and `c>b>a`, of any sides, in ascending order with the signs between."""
    sides = [side.strip() for side in split_top_level(text, ORDER_SIGN)]
    signs = [
        sign.replace("\\lt", "<").replace("\\gt", ">").replace("\\le", "<=").replace("\\ge", ">=") for sign in ORDER_SIGN.findall(text)
    ]
    signs = [sign + "=" if side.startswith("=") else sign for sign, side in zip(signs, sides[1:], strict=False)]
    sides = [side.removeprefix("=").strip() for side in sides]
    if len(sides) < 3 or len(signs) != len(sides) - 1 or len({sign[0] for sign in signs}) > 1 or not all(map(is_algebra, sides)):
        return None
    if signs[0][0] == ">":
        sides, signs = sides[::-1], [sign.replace(">", "<") for sign in reversed(signs)]
    return Notation("order", (*sides, *signs))


def _approximation(text: str) -> Assignment | None:
    """`2\\sqrt{13} \\approx 7.21`: a value, and as a step the decimal that it is near."""
    exact, mark, near = text.partition("\\approx")
    name, equals, side = exact.rpartition("=")
    form = parse_answer(side).form if mark and parse_quantity(near) and (not equals or _is_name(name)) else None
    is_value = isinstance(form, Quantity) and is_numeric(form.value)
    return Assignment((name,), (parse_answer(side),), (f"\\approx {near.strip()}",)) if is_value else None


def _assignment(text: str, *, is_named: bool) -> Form | None:
    """What the equal signs say.

    Example: `x=1 or x=2` has the names ("x", "x"), `x=1, y=2` ("x", "y"); `x = 12/3 = 4` is 4 with the step `12/3`;
    `1=2=3` is words, `2x+1=0` an equation.
    """
    if not EQUALS.search(text):
        return None
    parts = [[side.strip() for side in split_top_level(part, EQUALS)] for part in split_top_level(both_signs(text), LIST_MARK)]
    if is_named and len(parts) == 1:
        parts = [["", *parts[0]]]
    is_calculation = len(parts) == 1 and parts[0][1:] and all(map(_is_calculation, parts[0][:-1]))
    if is_calculation and isinstance((value := parse_answer(parts[0][-1])).form, Quantity):
        return Assignment(("",), (value,), tuple(side.replace("\\degree", "") for side in parts[0][:-1]))
    if len(parts) == 1 and len(parts[0]) > 2:
        return _chain(parts[0], is_named=is_named)
    if len(parts[0]) == 2 and all(len(sides) == 1 for sides in parts[1:]):  # `x = 1, 2`
        parts = [parts[0], *([parts[0][0], *sides] for sides in parts[1:])]
    if len(parts) == 1 and not _is_name(parts[0][0]):  # `3 = x`
        parts = [parts[0][::-1]]
    if not all(len(sides) == 2 and _is_name(sides[0]) for sides in parts):
        return Equation(text) if len(parts) == 1 and all(parts[0]) and is_algebra(text) else None
    values = tuple(parse_answer(right) for _, right in parts)
    return None if any(value.is_words for value in values) else Assignment(tuple(left for left, _ in parts), values)


def _chain(sides: list[str], *, is_named: bool) -> Assignment | None:
    """`x = 12/3 = 4`: a name, steps, the value."""
    name, *steps, last = sides
    value = parse_answer(last)
    if value.is_words or not (is_named or _is_name(name) or (is_algebra(name) and not is_numeric(name))):
        return None
    if not all(parse_quantity(step) or _is_name(step) for step in steps):
        return None
    if not isinstance(value.form, Quantity) or is_numeric(value.form.value):
        steps = [step for step in steps if is_numeric(step)]
    return Assignment((name,), (value,), tuple(steps))


def _is_calculation(side: str) -> bool:
    """More than a number: every member of a chain of these must be equal to its last."""
    return is_numeric(side) and is_algebra(side) and not re.fullmatch(r"-?[\d.]*", side)


def _is_name(left: str) -> bool:
    return bool(left) and not NOT_OF_A_NAME.sub("", left) and not DENIES.search(re.sub(r"\\[a-zA-Z]+", "", left))


def _members(text: str) -> Members | None:
    """A list, or what stands between brackets."""
    text = both_signs(text)
    is_sequence = len(split_top_level(text, re.compile(";"))) > 1
    parts, brackets = split_top_level(text, re.compile(";") if is_sequence else LIST_MARK), ""
    if len(parts) == 1:
        brackets, inside = split_brackets(text)
        parts = split_top_level(inside, LIST_MARK) if brackets else []
        if len(parts) == 1 and brackets != "{}":
            return None
    items = tuple(parse_answer(part) for part in parts)
    is_choice = re.search(OR, text) and any(isinstance(item.form, Option) for item in items)
    if not items or is_choice or any(item.is_words for item in items):
        return None
    return Members(items, brackets, is_ordered=is_sequence or brackets not in ("", "{}"))


def _ratio(text: str) -> Notation | None:
    parts = [part.strip() for part in split_top_level(text, re.compile(":"))]
    return Notation("ratio", tuple(parts)) if len(parts) > 1 and all(map(is_algebra, parts)) else None
