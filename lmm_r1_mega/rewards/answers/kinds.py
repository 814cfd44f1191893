"""The kinds of answers. Every kind accounts for the whole text; what no kind accounts for is `Words`.

Each has its text in one spelling, with no more space than keeps words and numbers apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar

from lmm_r1_mega.rewards.answers.normalize import strip_spaces
from lmm_r1_mega.rewards.answers.units import Unit


@dataclass(frozen=True)
class Parsed:
    """What all kinds have."""

    kind: ClassVar[str]
    """For people."""
    text: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class Words(Parsed):
    kind = "words"
    words: str


@dataclass(frozen=True)
class Choice(Parsed):
    """An option letter, and what is written behind it: `(B) 5 cm`."""

    kind = "option"
    letter: str
    content: str = ""


@dataclass(frozen=True)
class Letters(Parsed):
    """Several option letters: `A, C`."""

    kind = "letters"
    letters: tuple[str, ...]


@dataclass(frozen=True)
class Statements(Parsed):
    """Numbers of statements: `(1)(3)`, `I and III`."""

    kind = "statements"
    numbers: tuple[str, ...]


@dataclass(frozen=True)
class ClockTime(Parsed):
    kind = "clock"
    hours: str
    minutes: str
    seconds: str
    """Empty if not given, as is `half`."""
    half: str
    """ "am" or "pm"."""


@dataclass(frozen=True)
class Date(Parsed):
    """Its numbers in their order; if the month has its name then year, month and day, the year empty if not given."""

    kind = "date"
    numbers: tuple[str, str, str]


@dataclass(frozen=True)
class NumberInBase(Parsed):
    """`1010_2`: digits "1010", base 2."""

    kind = "base"
    digits: str
    base: int


@dataclass(frozen=True)
class Range(Parsed):
    """`3-5 days`: "3" and "5 days"."""

    kind = "range"
    low: str
    high: str


@dataclass(frozen=True)
class Ratio(Parsed):
    """`3:4:5`."""

    kind = "ratio"
    members: tuple[str, ...]


@dataclass(frozen=True)
class Ordering(Parsed):
    """`c>b>a` as `a<b<c`: its sides, and the signs between them."""

    kind = "order"
    sides: tuple[str, ...]
    signs: tuple[str, ...]


@dataclass(frozen=True)
class Number(Parsed):
    """An integer, decimal, fraction, mixed number or percentage, with its unit if it has one."""

    kind = "number"
    latex: str
    """As written, without the unit."""
    value: Fraction
    is_decimal: bool = False
    is_percent: bool = False
    unit: Unit | None = None


@dataclass(frozen=True)
class Expression(Parsed):
    """What only the algebra can work out, with its unit if it has one."""

    kind = "expression"
    latex: str
    unit: Unit | None = None


@dataclass(frozen=True)
class Collection(Parsed):
    """Several answers: a list, tuple, set or interval."""

    kind = "several answers"
    items: tuple[ParsedAnswer, ...]
    brackets: str
    r"""`(]`, `{}` and the like; empty for a list."""
    is_ordered: bool


@dataclass(frozen=True)
class Assignment(Parsed):
    """Values of names: `x=1, y=2`, `x \\in (1,2)`, `1<x<2`."""

    kind = "value of a name"
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
        """All values as one answer: a tuple if they are of different variables."""
        if len(self.values) == 1:
            return self.values[0]
        is_tuple = len(self.variables) > 1
        return Collection(self.values, "()" if is_tuple else "", is_ordered=is_tuple)


@dataclass(frozen=True)
class Equation(Parsed):
    """Two sides of which neither is a name: `x+y=3`."""

    kind = "equation"


ParsedAnswer = (
    Words | Choice | Letters | Statements | ClockTime | Date | NumberInBase | Range | Ratio | Ordering | Number | Expression | Collection
    | Assignment | Equation
)  # fmt: skip


def describe(parsed: ParsedAnswer) -> str:
    """What an answer is taken for, for people: "number with a unit"."""
    has_unit = isinstance(parsed, Number | Expression) and parsed.unit
    return f"{parsed.kind} with a unit" if has_unit else parsed.kind
