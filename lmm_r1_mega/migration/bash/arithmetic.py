"""Whole numbers as `$((...))` computes them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field

Thunk = Callable[[], int]

_TOKEN = re.compile(
    r"\s*(?:(\d+#\w+|0[xX][0-9a-fA-F]+|\d+)|([A-Za-z_]\w*(?:\[[^\]]*\])?)|(<<=|>>=|\*\*|<<|>>|[-+*/%&|^<>=!]=|&&|\|\||\+\+|--|[-+*/%&|^~!<>=?:,()]))"
)
_BINARY: dict[str, tuple[int, Callable[[int, int], int]]] = {
    "|": (3, operator.or_),
    "^": (4, operator.xor),
    "&": (5, operator.and_),
    "==": (6, lambda a, b: int(a == b)),
    "!=": (6, lambda a, b: int(a != b)),
    "<": (7, lambda a, b: int(a < b)),
    ">": (7, lambda a, b: int(a > b)),
    "<=": (7, lambda a, b: int(a <= b)),
    ">=": (7, lambda a, b: int(a >= b)),
    "<<": (8, operator.lshift),
    ">>": (8, operator.rshift),
    "+": (9, operator.add),
    "-": (9, operator.sub),
    "*": (10, operator.mul),
    "/": (10, lambda a, b: _divided(a, b)[0]),
    "%": (10, lambda a, b: _divided(a, b)[1]),
    "**": (11, operator.pow),
}
_UNARY: dict[str, Callable[[int], int]] = {"+": operator.pos, "-": operator.neg, "~": operator.inv, "!": lambda a: int(not a)}
_LAZY = {"||": 1, "&&": 2}
_DEEPEST = 50


@dataclass
class Variables:
    """How an expression reads and sets variables."""

    read: Callable[[str], str]
    write: Callable[[str, str], None]


def evaluate(text: str, variables: Variables, *, depth: int = 0) -> int:
    """The value of an expression; an empty one is 0.

    Example: "N * 2 + 1" with N = 3 -> 7

    Raises: ValueError where it is no expression, or divides by 0.
    """
    if depth > _DEEPEST:
        raise ValueError(f"the variables of {text} name each other in a circle")
    tokens, place = [], 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"{text.strip()} is no arithmetic that can be read here")
        tokens.append(match[0].strip())
        place = match.end()
    if not tokens:
        return 0
    reader = _Reader(tokens, variables, depth)
    value = reader.comma()
    if reader.tokens:
        raise ValueError(f"{text.strip()} is no arithmetic that can be read here")
    return value()


def _divided(a: int, b: int) -> tuple[int, int]:
    """Quotient towards 0, and what is left."""
    if b == 0:
        raise ValueError("division by 0")
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return quotient, a - quotient * b


@dataclass
class _Reader:
    """Tokens to a function that computes: what `&&`, `||` and `?` leave out is not computed."""

    tokens: list[str]
    variables: Variables
    depth: int
    names: re.Pattern[str] = field(default=re.compile(r"[A-Za-z_]\w*(\[.*\])?"))

    def comma(self) -> Thunk:
        value = self.assignment()
        while self._take(","):
            value = self._then(value, self.assignment())
        return value

    def assignment(self) -> Thunk:
        name = self.tokens[0] if self.tokens else ""
        sign = self.tokens[1] if len(self.tokens) > 1 else ""
        if self.names.fullmatch(name) and (sign == "=" or (sign.endswith("=") and sign[:-1] in _BINARY and sign not in _BINARY)):
            del self.tokens[:2]
            value = self.assignment()
            if sign == "=":
                return lambda: self._set(name, value())
            compute = _BINARY[sign[:-1]][1]
            return lambda: self._set(name, compute(self._value(name), value()))
        return self.choice()

    def choice(self) -> Thunk:
        asked = self.binary(1)
        if not self._take("?"):
            return asked
        first = self.assignment()
        if not self._take(":"):
            raise ValueError("`?` without `:` in arithmetic")
        second = self.assignment()
        return lambda: first() if asked() else second()

    def binary(self, least: int) -> Thunk:
        left = self.unary()
        while self.tokens:
            sign = self.tokens[0]
            level = _LAZY.get(sign) or (_BINARY[sign][0] if sign in _BINARY else 0)
            if level < least or not level:
                break
            del self.tokens[0]
            right = self.binary(level if sign == "**" else level + 1)
            left = self._joined(sign, left, right)
        return left

    def unary(self) -> Thunk:
        token = self.tokens.pop(0) if self.tokens else ""
        if token in ("++", "--"):
            name = self.tokens.pop(0) if self.tokens else ""
            return lambda: self._set(name, self._value(name) + (1 if token == "++" else -1))
        if token in ("+", "-", "!", "~"):
            value = self.unary()
            return lambda: _UNARY[token](value())
        if token == "(":
            value = self.comma()
            if not self._take(")"):
                raise ValueError("`(` without `)` in arithmetic")
            return value
        if token[:1].isdigit():
            number = _number(token)
            return lambda: number
        if not self.names.fullmatch(token):
            raise ValueError(f"arithmetic ends early or has {token or 'nothing'} at a wrong place")
        if self.tokens and self.tokens[0] in ("++", "--"):
            step = 1 if self.tokens.pop(0) == "++" else -1
            return lambda: self._set(token, self._value(token) + step) - step
        return lambda: self._value(token)

    def _joined(self, sign: str, left: Thunk, right: Thunk) -> Thunk:
        if sign == "&&":
            return lambda: int(bool(left()) and bool(right()))
        if sign == "||":
            return lambda: int(bool(left()) or bool(right()))
        compute = _BINARY[sign][1]
        return lambda: compute(left(), right())

    def _then(self, first: Thunk, second: Thunk) -> Thunk:
        return lambda: (first(), second())[1]

    def _take(self, token: str) -> bool:
        if self.tokens[:1] == [token]:
            del self.tokens[0]
            return True
        return False

    def _value(self, name: str) -> int:
        return evaluate(self.variables.read(name), self.variables, depth=self.depth + 1)

    def _set(self, name: str, value: int) -> int:
        self.variables.write(name, str(value))
        return value


def _number(token: str) -> int:
    """Example: "010" -> 8, "0x1f" -> 31, "2#101" -> 5"""
    try:
        if "#" in token:
            base, digits = token.split("#")
            return int(digits, int(base))
        return int(token, 0) if token[:2].lower() == "0x" else int(token, 8 if token.startswith("0") else 10)
    except ValueError:
        raise ValueError(f"{token} is no number in arithmetic") from None
