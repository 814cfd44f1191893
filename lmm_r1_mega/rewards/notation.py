"""What an answer says: option letter, words, the sides of equal signs, values and units.

Text in; text, letters and exact fractions out. What is left over is algebra and goes to math-verify (`equality`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from lmm_r1_mega.rewards.undress import undress
from lmm_r1_mega.rewards.units import CHINESE_WORD, FUNCTIONS, WRAPPER, split_unit
from lmm_r1_mega.rewards.values import LIST_MARK, Number, both_signs, plain_number, plain_numbers, split_top_level, union_of_intervals

Relation = Literal["value", "assignment", "equation", "chain"]

OPTION_IS = re.compile(
    r"(?:(?:the\s+)?(?:(?:correct|final)\s+)?(?:option|choice|answer)(?:\s+is|:)?"
    "|\u6545?(?:\u9009\u9879|\u9009\u62e9|\u9009|\u7b54\u6848)[\u662f\u4e3a:]?"
    r")\s*",
    re.IGNORECASE,
)
"""What may stand before an option letter, in English and in Chinese."""
OPTION = re.compile(r"[(\[]([A-Za-z])[)\]][.:]?(?:\s(.*))?|([A-Za-z])(?:[.):](?:\s(.*))?)?", re.DOTALL)
OTHER_OPTIONS = re.compile(r"(?<![a-zA-Z\d])(?:[(\[][A-Ha-h][)\]]|[A-Ha-h][.):](?!\S))|^(?:(?:and|or)\b|[A-H]\b|[\s,;/&])+$")
"""Behind an option letter: another in its dress, or bare letters alone."""

WORD = re.compile(r"(?<![\\a-zA-Z])[A-Z]?[a-z]+(?![a-zA-Z])")
ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[a-z]*\}")

EQUALS = re.compile(r"(?<![\\<>!:=])=(?!=)|\\in(?![a-zA-Z])")
NOT_OF_A_NAME = re.compile(r"\\[a-zA-Z]+|_\{[^{}]*\}|_\w|'|\([a-zA-Z, ]*\)|[a-zA-Z{}\s]")


@dataclass(frozen=True)
class Reading:
    """An answer without its dress."""

    text: str
    """Undressed, otherwise as written."""
    plain: str
    r"""`text` without `\text{}` and with no more space than keeps words and numbers apart."""
    option: str | None
    """Capital letter where the answer is a single option letter in any dress."""
    phrase: str | None
    r"""Lower-case words where the answer is one word, or wholly inside `\text{}`, or Chinese."""
    is_prose: bool
    """Words that are neither a phrase nor algebra nor a unit."""
    relation: Relation
    names: tuple[str, ...]
    """Left sides of an assignment."""
    value: str
    """Right sides of an assignment, without the unit; those of different names as a tuple."""
    unit: str
    number: Number | None
    numbers: tuple[Number, ...]
    """The members of a list, tuple, set or interval of plain numbers, as written."""
    brackets: str
    """`(]`, `{}` and the like around `numbers`; empty for a list."""

    @property
    def has_several_names(self) -> bool:
        return len(set(self.names)) > 1

    @property
    def variables(self) -> set[str]:
        """The names without their indices."""
        return set(map(_variable, self.names))


@lru_cache(maxsize=8192)
def read(answer: str) -> Reading:
    r"""Takes the dress off an answer. Example: `$x = 10{,}000\text{ cm}$` has names ("x",), unit "cm" and number 10000."""
    text = undress(answer)
    relation, names, value = split_assignment(text)
    value, unit = split_unit(value)
    value = union_of_intervals(both_signs(value))
    bare = " ".join(WRAPPER.sub(r" \1 ", text).split())
    brackets, numbers = plain_numbers(value)
    return Reading(
        text=text,
        plain=squeezed(bare),
        option=option_letter(bare),
        phrase=_phrase(text),
        is_prose=not unit and _is_prose(bare),
        relation=relation,
        names=names,
        value=value,
        unit=unit,
        number=plain_number(value),
        numbers=numbers,
        brackets=brackets,
    )


def squeezed(text: str) -> str:
    """The text without the spaces that keep no words or numbers apart.

    Example: "2 x + 1 2" -> "2 x+1 2"
    """
    return re.sub(r"(?<!\w)\s+|\s+(?!\w)", "", text)


def option_letter(bare: str) -> str | None:
    """`A` for "A", "(a)", "A)", "[A]", "A. 5", "(A) 5" or "option A"; None for everything else, also for two letters."""
    introduction = OPTION_IS.match(bare)
    found = OPTION.fullmatch(bare[introduction.end() :] if introduction else bare)
    if not found or OTHER_OPTIONS.search(found[2] or found[4] or ""):
        return None
    return (found[1] or found[3]).upper()


def split_assignment(text: str) -> tuple[Relation, tuple[str, ...], str]:
    """What the equal signs say: the kind of relation, the names on the left and the values on the right.

    Example: `x=1 or x=2` is an assignment of ("x", "x") with the value `1,2`, `x=1, y=2` of ("x", "y") with the value `(1,2)`;
    `1=2=3` is a chain, `2x+1=0` an equation.
    """
    if not EQUALS.search(text):
        return "value", (), text
    parts = [[side.strip() for side in split_top_level(part, EQUALS)] for part in split_top_level(text, LIST_MARK)]
    if any(len(sides) > 2 for sides in parts):
        return "chain", (), text
    if len(parts[0]) == 2 and all(len(sides) == 1 for sides in parts[1:]):  # `x = 1, 2`
        parts = [parts[0], *([parts[0][0], *sides] for sides in parts[1:])]
    if len(parts) == 1 and not _is_name(parts[0][0]):  # `3 = x`
        parts = [parts[0][::-1]]
    if not all(len(sides) == 2 and _is_name(sides[0]) for sides in parts):
        return ("equation" if any(len(sides) == 2 for sides in parts) else "value"), (), text
    value = ",".join(right for _, right in parts)
    is_tuple = len({_variable(left) for left, _ in parts}) > 1  # `x_1=1, x_2=2` are two roots in no order
    return "assignment", tuple(left for left, _ in parts), f"({value})" if is_tuple else value


def _is_name(left: str) -> bool:
    return bool(left) and not NOT_OF_A_NAME.sub("", left)


def _variable(name: str) -> str:
    return name.split("_")[0]


def _phrase(text: str) -> str | None:
    whole = WRAPPER.fullmatch(text)
    if not whole and not re.fullmatch(rf"[A-Z]?[a-z]{{2,}}|{CHINESE_WORD}", text):
        return None
    words = " ".join((whole.group(1) if whole else text).lower().split()).strip(" .")
    words = re.sub(r"^(?:an?|the) (?=\w)", "", words)
    return words if re.search(rf"[a-z]{{3}}|^no$|{CHINESE_WORD}", words) and not re.search(r"\d", words) else None


def _is_prose(bare: str) -> bool:
    words = [word for word in WORD.findall(ENVIRONMENT.sub("", bare)) if len(word) > 1 and word not in FUNCTIONS]
    return len(words) > 1 and any(len(word) > 2 for word in words)
