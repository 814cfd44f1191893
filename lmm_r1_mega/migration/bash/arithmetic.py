"""Integers as `$((...))` computes them: bash's expressions, read by Python's grammar if both mean the same."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable

ASSIGNMENT = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:([-+*/%]?)=(?!=)(.*)|(\+\+|--)\s*)", re.DOTALL)
_TOKEN = re.compile(r"\s*([A-Za-z_]\w*|(?:0|[1-9]\d*)\b|&&|\|\||[<>=!]=|\*\*|[-+*/%<>!()])\s*")
_SPELLING = {"&&": " and ", "||": " or ", "!": "~"}
_BINARY: dict[type[ast.AST], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: _quotient(a, b),
    ast.Mod: lambda a, b: a - _quotient(a, b) * b,
    ast.Pow: lambda a, b: a**b if 0 <= b < 64 else 2**63,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.Gt: operator.gt,
    ast.LtE: operator.le,
    ast.GtE: operator.ge,
}
_UNARY: dict[type[ast.AST], Callable[[int], int]] = {ast.UAdd: operator.pos, ast.USub: operator.neg, ast.Invert: operator.not_}


def evaluate(text: str, read: Callable[[str], str], depth: int = 0) -> int:
    """The value of an expression whose variables `read` gives; an empty one is 0.

    Example: "N * 2 + 1" with N = 3 -> 7

    Raises:
        ValueError: it is no expression, is one that is not read here, or divides by 0.
    """
    unread = ValueError(f"{text.strip()} is no arithmetic that is read here: write its value, or + - * / % ** and comparisons alone")
    tokens = [match[1] for match in _TOKEN.finditer(text)]
    if "".join(tokens) != re.sub(r"\s", "", text) or re.search(r"//|\+\+|--", text):
        raise unread
    if depth > 50:
        raise ValueError("variables of arithmetic name each other in a circle")
    spelled = " ".join(f"v{token}" if token.isidentifier() else _SPELLING.get(token, token) for token in tokens)
    try:
        return int(_value(ast.parse(spelled or "0", mode="eval").body, lambda name: evaluate(read(name[1:]), read, depth + 1)))
    except (SyntaxError, KeyError):
        raise unread from None


def _value(node: ast.expr, read: Callable[[str], int]) -> int:
    """Raises: KeyError for what Python and bash read differently, such as `-2 ** 2`, `1 < 2 < 3` and numbers of more than 64 bits."""
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.Name(id=name):
            return read(name)
        case ast.BoolOp(values=values):
            truths = (_value(value, read) for value in values)
            return any(truths) if isinstance(node.op, ast.Or) else all(truths)
        case ast.UnaryOp(op=sign, operand=operand) if not isinstance(operand, ast.BinOp) or not isinstance(operand.op, ast.Pow):
            return int(_UNARY[type(sign)](_value(operand, read)))
        case ast.BinOp(left=left, op=sign, right=right) | ast.Compare(left=left, ops=[sign], comparators=[right]):
            number = int(_BINARY[type(sign)](_value(left, read), _value(right, read)))
            if abs(number) < 2**63:
                return number
    raise KeyError


def _quotient(a: int, b: int) -> int:
    """Towards 0."""
    if b == 0:
        raise ValueError("division by 0")
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
