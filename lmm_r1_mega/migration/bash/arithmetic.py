"""Whole numbers as `$((...))` computes them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

_TOKEN = re.compile(
    r"\s*(?:(\d+#\w+|0[xX][0-9a-fA-F]+|\d+|[A-Za-z_]\w*(?:\[[^\]]*\])?"
    r"|<<=|>>=|\*\*|<<|>>|[-+*/%&|^<>=!]=|&&|\|\||\+\+|--|[-+*/%&|^~!<>=?:,()])|$)"
)
_BINARY: dict[str, tuple[int, Callable[[int, int], int]]] = {
    "||": (1, lambda a, b: bool(a) or bool(b)),
    "&&": (2, lambda a, b: bool(a) and bool(b)),
    "|": (3, operator.or_),
    "^": (4, operator.xor),
    "&": (5, operator.and_),
    "==": (6, operator.eq),
    "!=": (6, operator.ne),
    "<": (7, operator.lt),
    ">": (7, operator.gt),
    "<=": (7, operator.le),
    ">=": (7, operator.ge),
    "<<": (8, operator.lshift),
    ">>": (8, operator.rshift),
    "+": (9, operator.add),
    "-": (9, operator.sub),
    "*": (10, operator.mul),
    "/": (10, lambda a, b: _quotient(a, b)),
    "%": (10, lambda a, b: a - _quotient(a, b) * b),
    "**": (11, operator.pow),
}
_UNARY: dict[str, Callable[[int], int]] = {"+": operator.pos, "-": operator.neg, "~": operator.inv, "!": operator.not_}
_STEPS = {"++": 1, "--": -1}
_NAME = re.compile(r"[A-Za-z_]\w*(\[.*\])?")
_CHANGES = re.compile(r"\+\+|--|<<=|>>=|(?<![<>=!])=(?!=)")
_DEEPEST = 50


@dataclass
class Variables:
    """How an expression reads and sets variables."""

    read: Callable[[str], str]
    write: Callable[[str, str], None]


def evaluate(text: str, variables: Variables, *, depth: int = 0) -> int:
    """The value of an expression; an empty one is 0.

    Example: "N * 2 + 1" with N = 3 -> 7

    Raises: ValueError where it is no expression, divides by 0, or sets a variable on one of two ways.
    """
    if depth > _DEEPEST:
        raise ValueError("variables of arithmetic name each other in a circle")
    if re.search(r"&&|\|\||\?", text) and _CHANGES.search(text):
        raise ValueError("give arithmetic that sets a variable a line of its own, without &&, || and ?")
    tokens = [match[1] for match in _TOKEN.finditer(text) if match[1]]
    if "".join(tokens) != re.sub(r"\s", "", text):
        raise ValueError(f"{text.strip()} is no arithmetic that can be read here")
    reader = _Reader(tokens, variables, depth)
    value = reader.comma() if tokens else 0
    if reader.tokens:
        raise ValueError(f"{text.strip()} is no arithmetic that can be read here")
    return value


def assigned(text: str) -> set[str]:
    """Variables that an expression may set."""
    return set(re.findall(r"[A-Za-z_]\w*", text)) if _CHANGES.search(text) else set()


def _quotient(a: int, b: int) -> int:
    """Towards 0."""
    if b == 0:
        raise ValueError("division by 0")
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


@dataclass
class _Reader:
    """Computes while it reads."""

    tokens: list[str]
    variables: Variables
    depth: int

    def comma(self) -> int:
        value = self.assignment()
        while self._take(","):
            value = self.assignment()
        return value

    def assignment(self) -> int:
        name, sign = [*self.tokens, "", ""][:2]
        if _NAME.fullmatch(name) and sign.endswith("=") and (sign == "=" or sign[:-1] in _BINARY) and sign not in _BINARY:
            del self.tokens[:2]
            value = self.assignment()
            return self._set(name, value if sign == "=" else _BINARY[sign[:-1]][1](self._value(name), value))
        asked = self.binary(1)
        if not self._take("?"):
            return asked
        first = self.assignment()
        self._need(":")
        second = self.assignment()
        return first if asked else second

    def binary(self, least: int) -> int:
        left = self.unary()
        while self.tokens and _BINARY.get(self.tokens[0], (0,))[0] >= least:
            sign = self.tokens.pop(0)
            level, compute = _BINARY[sign]
            left = int(compute(left, self.binary(level if sign == "**" else level + 1)))
        return left

    def unary(self) -> int:
        token, following = [*self.tokens, "", ""][:2]
        del self.tokens[:1]
        if token == "(":
            value = self.comma()
            self._need(")")
            return value
        if token in _STEPS:
            del self.tokens[:1]
            return self._set(following, self._value(following) + _STEPS[token])
        if token in _UNARY:
            return int(_UNARY[token](self.unary()))
        if token[:1].isdigit():
            base, _, digits = token.rpartition("#")
            return int(digits, int(base or (16 if digits[:2].lower() == "0x" else 8 if digits[0] == "0" else 10)))
        if following in _STEPS and self._take(following):
            return self._set(token, self._value(token) + _STEPS[following]) - _STEPS[following]
        return self._value(token)

    def _take(self, token: str) -> bool:
        is_next = self.tokens[:1] == [token]
        del self.tokens[: int(is_next)]
        return is_next

    def _need(self, token: str) -> None:
        if not self._take(token):
            raise ValueError(f"`{token}` is missing in arithmetic")

    def _value(self, name: str) -> int:
        if not _NAME.fullmatch(name):
            raise ValueError(f"arithmetic ends early or has {name or 'nothing'} at a wrong place")
        return evaluate(self.variables.read(name), self.variables, depth=self.depth + 1)

    def _set(self, name: str, value: int) -> int:
        self.variables.write(name, str(value))
        return value
