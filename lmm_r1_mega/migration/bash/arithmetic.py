"""Integers as `$((...))` computes them: bash's expressions, read by Python's grammar if both mean the same."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

_ASSIGNMENT = re.compile(r"\s*([A-Za-z_]\w*)\s*([-+*/%]?)=(?!=)(.*)", re.DOTALL)
_STEP = re.compile(r"\s*(?:(?P<before>\+\+|--)\s*)?([A-Za-z_]\w*)\s*(?(before)|(?P<after>\+\+|--))\s*")
_TOKEN = re.compile(r"\s*([A-Za-z_]\w*|(?:0|[1-9]\d*)\b|&&|\|\||[<>=!]=|\*\*|[-+*/%<>!()\[\]])\s*")
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


@dataclass(frozen=True)
class Variables:
    """How an expression reads and sets variables."""

    read: Callable[[str], str]
    write: Callable[[str, str], None]
    depth: int = 0


def evaluate(text: str, variables: Variables) -> int:
    """The value of an expression, which may set one variable as a whole; an empty one is 0.

    Example: "N * 2 + 1" with N = 3 -> 7; "N += 2" -> 5, and N is 5

    Raises:
        ValueError: it is no expression, is one that is not read here, or divides by 0.
    """
    if step := _STEP.fullmatch(text):
        old = _number(step[2], variables)
        new = old + (1 if "+" in (step["before"] or step["after"]) else -1)
        variables.write(step[2], str(new))
        return new if step["before"] else old
    if assignment := _ASSIGNMENT.fullmatch(text):
        name, sign, value = assignment.groups()
        number = _number(f"{name} {sign} ({value})" if sign else value, variables)
        variables.write(name, str(number))
        return number
    return _number(text, variables) if text.strip() else 0


def assigned(text: str) -> set[str]:
    """Variables that an expression may set."""
    return set(re.findall(r"[A-Za-z_]\w*", text)) if re.search(r"\+\+|--|(?<![<>=!])=(?!=)", text) else set()


def _number(text: str, variables: Variables) -> int:
    unread = ValueError(f"{text.strip()} is no arithmetic that is read here: write its value, or + - * / % ** and comparisons alone")
    tokens = [match[1] for match in _TOKEN.finditer(text)]
    if "".join(tokens) != re.sub(r"\s", "", text) or re.search(r"//|\+\+|--", text):
        raise unread
    if variables.depth > 50:
        raise ValueError("variables of arithmetic name each other in a circle")
    spelled = " ".join(f"v{token}" if token.isidentifier() else _SPELLING.get(token, token) for token in tokens)
    try:
        return int(_value(ast.parse(spelled, mode="eval").body, variables))
    except (SyntaxError, KeyError):
        raise unread from None


def _value(node: ast.expr, variables: Variables) -> int:
    """Raises: KeyError for what Python and bash read differently, such as `-2 ** 2`, `1 < 2 < 3` and numbers of more than 64 bits."""
    inner = replace(variables, depth=variables.depth + 1)
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.Name(id=name):
            return evaluate(variables.read(name[1:]), inner)
        case ast.Subscript(value=ast.Name(id=name), slice=index):
            return evaluate(variables.read(f"{name[1:]}[{_value(index, variables)}]"), inner)
        case ast.BoolOp(values=values):
            truths = (_value(value, variables) for value in values)
            return any(truths) if isinstance(node.op, ast.Or) else all(truths)
        case ast.UnaryOp(op=sign, operand=operand) if not isinstance(operand, ast.BinOp) or not isinstance(operand.op, ast.Pow):
            return int(_UNARY[type(sign)](_value(operand, variables)))
        case ast.BinOp(left=left, op=sign, right=right) | ast.Compare(left=left, ops=[sign], comparators=[right]):
            number = int(_BINARY[type(sign)](_value(left, variables), _value(right, variables)))
            if abs(number) < 2**63:
                return number
    raise KeyError


def _quotient(a: int, b: int) -> int:
    """Towards 0."""
    if b == 0:
        raise ValueError("division by 0")
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
