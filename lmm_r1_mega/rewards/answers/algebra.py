"""Which text is mathematics through and through, and whether two such texts are equal: the only owner of math-verify.

Nothing here bounds its own time: it is called in worker processes that can be killed.
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from functools import lru_cache

from latex2sympy2_extended.latex2sympy2 import latex2sympy
from latex2sympy2_extended.latex2sympy2 import normalize_latex as normalize_for_sympy
from math_verify import LatexExtractionConfig, verify
from math_verify.grader import should_treat_as_complex
from sympy import Basic, Expr, MatrixBase, UnevaluatedExpr

NORMALIZATION = replace(LatexExtractionConfig().normalization_config, units=False)  # `3m` and `3 m` are told apart before
BOMBS = (MemoryError, RecursionError)

COMMANDS = (
    "frac sqrt pi infty cup cap le ge ne approx pm mp times cdot div sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln "
    "log lg exp lim sum prod int binom alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta lambda mu nu xi rho sigma tau phi "
    "varphi chi psi omega Gamma Delta Theta Lambda Pi Sigma Phi Psi Omega vec overline bar hat dot overrightarrow mathbb mathcal in "
    "notin subset emptyset setminus begin end lfloor rfloor lceil rceil vert mid det gcd lcm max min mod bmod pmod partial nabla degree "
    "prime circ"
)
COMMAND = rf"\\(?:{COMMANDS.replace(' ', '|')})(?![a-zA-Z])"
TOKENS = re.compile(
    rf"(?:{COMMAND}|\\\\|\\[{{}}|]|(?<![a-zA-Z])(?:[a-z]{{1,3}}|[A-Z]{{1,4}})(?![a-zA-Z])"
    r"|(?<![a-zA-Z\d.])(?:\d+(?:\.\d+)?|\.\d+)(?![\d.])|[-+*/^_=<>!()\[\]{}|,&\s])*"
)
ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{(?:[pbvVB]?matrix|array|cases)\}(?:\{[lcr|]*\})?")
LOOSE = re.compile(r"(?<![_^])\d\s+\d|\d\s+[a-zA-Z]{2}|[a-zA-Z]{2}\s+[a-zA-Z]|[a-zA-Z]\s+[a-zA-Z]{2}")
"""Numbers in a row, and words in one: the algebra would multiply them."""
UNREAD = re.compile(r"[\d)|\]]_|(?<!\^)\{\d+\}_|[-+]\s*[-+]")
"""An index of a number, which the algebra would drop, and two signs in a row."""
NAMED = re.compile(r"\\[a-zA-Z]+")
NO_NAME = re.compile(r"[a-z]{3}|[A-Z]{3,}|[IVXLCDM]{2,}")
SMALL_WORDS = re.compile(
    r"(?<![\\a-zA-Z])(?:no|not|and|or|is|are|if|the|an|of|on|at|up|to|in|by|it|its|we|he|she|so|do|am|pm|yes|but|for|all|any|per|as|be|was|"
    r"has|had|can|may|who|why|how|non|nor|too|out|off|one|two|six|ten|day|way|use|put|see|go|my|our|his|her|ok|hi|us|old|new|low|big)"
    r"(?![a-zA-Z])",
    re.IGNORECASE,
)
FUNCTIONS = re.compile(
    r"(?<![\\a-zA-Z])(sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|ln|log|lg|exp|pi|gcd|lcm|alpha|beta|theta)(?![a-zA-Z])"
)
ROOT_CALL = re.compile(r"(?<![\\a-zA-Z])sqrt\s*\(([^()]*)\)")
EXP_CALL = re.compile(r"\\exp\s*\(([^()]*)\)")
CHOOSE = re.compile(r"(?<![a-zA-Z\\])C(?:_\{?\s*(\w+)\s*\}?\s*\^\s*\{?\s*(\w+)\s*\}?|\((\d+),\s*(\d+)\))")
ARRANGE = re.compile(r"(?<![a-zA-Z\\])[AP](?:_\{?\s*(\d+)\s*\}?\s*\^\s*\{?\s*(\d+)\s*\}?|(?<=P)\((\d+),\s*(\d+)\))")
PRODUCT = re.compile(r"(?<![\w.^_{}])\d+(?:\.\d+)?\s*(?=\()|(?<=[\d)}])\s*(?=\\binom)|(?<=\))\s*(?=\\frac)")
"""Where math-verify's parser adds as it does in mixed numbers."""
EXPONENT = re.compile(r"\^\{(\d{1,99})(?:\^\{(\d{1,9}))?")
MAX_EXPONENT = 10**6
"""A gold answer with a larger one is not worked out: it equals its own text."""
REST = 1e-90
"""Of what sympy works out to 0 a rest of 1e-100 may be left."""

logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its own timeouts are off: ours kill from outside


def in_latex(text: str) -> str:
    r"""Functions, roots and combinations as LaTeX has them: `sqrt(3)` -> `\sqrt{3}`, `exp(x)` -> `e^{x}`, `C_5^2` -> `\binom{5}{2}`."""
    text = EXP_CALL.sub(r"e^{\1}", FUNCTIONS.sub(r"\\\1 ", ROOT_CALL.sub(r"\\sqrt{\1}", text)))
    text = CHOOSE.sub(lambda match: f"\\binom{{{match[1] or match[3]}}}{{{match[2] or match[4]}}}", text)
    return PRODUCT.sub(r"\g<0>\\cdot ", ARRANGE.sub(_arrangements, text))


def _arrangements(match: re.Match[str]) -> str:
    n, k = int(match[1] or match[3]), int(match[2] or match[4])
    return f"\\frac{{{n}!}}{{{n - k}!}}" if k <= n else match[0]


def is_algebra(text: str) -> bool:
    """Whether every sign of a text is known mathematics: numbers, names of one to three letters, known commands, brackets."""
    text = ENVIRONMENT.sub("", text)
    if not TOKENS.fullmatch(text) or UNREAD.search(text) or LOOSE.search(NAMED.sub("|", text)) or SMALL_WORDS.search(text):
        return False
    return not NO_NAME.fullmatch(text) and bool(re.search(r"[\da-zA-Z]", text))


def is_numeric(text: str) -> bool:
    """Whether no variable is in it: digits, functions and constants alone."""
    bare = NAMED.sub("", text)
    return not re.search(r"[a-zA-Z]", bare) and (bool(re.search(r"\d", bare)) or "\\pi" in text)


def algebra_equal(gold: str, answer: str) -> bool:
    """math-verify's verdict, gold first: its rules are not symmetric."""
    if any(int(base) ** min(int(power or 1), 99) > MAX_EXPONENT for base, power in EXPONENT.findall(gold)):
        return False
    is_complex = should_treat_as_complex(gold) or should_treat_as_complex(answer)
    gold_value, answer_value = (to_sympy(text, is_complex=is_complex) for text in (gold, answer))
    if gold_value is None or answer_value is None:
        return False
    _evaluate(answer_value)
    is_equal = _same_value(gold_value, answer_value)
    if is_equal is not None:
        return is_equal
    try:
        return verify(gold_value, answer_value, allow_set_relation_comp=True, timeout_seconds=None, raise_on_error=True)
    except BOMBS:
        raise
    except Exception:  # whatever the algebra of a model's text runs into, the texts are not equal
        return False


def is_rounded(exact: str, decimal: str) -> bool:
    """Whether a decimal is an exact value up to half of one in its last place: `2\\sqrt{13}` and "7.21"."""
    value, last_place = to_sympy(exact, is_complex=False), 10 ** -len(decimal.partition(".")[2])
    return isinstance(value, Expr) and value.is_number and bool(abs(value.evalf(15) - float(decimal)) <= last_place * 0.51)


def _evaluate(expression: Basic | MatrixBase) -> None:
    """Works the expression out once, so that a bomb is seen here: math-verify would swallow the error and answer no."""
    try:
        expression.doit()
    except BOMBS:
        raise
    except Exception:  # math-verify has other ways to compare what cannot be worked out
        return


def _same_value(gold_value: Basic | MatrixBase, answer_value: Basic | MatrixBase) -> bool | None:
    """Whether both are the same number; None if that is math-verify's to say.

    math-verify takes every difference below 1e-15 for none, so that 1e-19 were 2e-19; and this spares its attempts to simplify.
    """
    if not all(isinstance(side, Expr) and not side.free_symbols and not side.has(UnevaluatedExpr) for side in (gold_value, answer_value)):
        return None
    try:
        a, b = gold_value.doit(), answer_value.doit()
        if a.is_Rational and b.is_Rational:
            return bool(a == b)
        rest = 0 if a.is_zero is False and b.is_zero is False else REST
        a, b = a.evalf(15), b.evalf(15)
        return False if abs(a - b) > 1e-6 * max(abs(a), min(1, 10 * abs(a))) + rest else None
    except BOMBS:
        raise
    except Exception:  # not a number: has variables, or no finite value
        return None


@lru_cache(maxsize=8192)
def to_sympy(text: str, *, is_complex: bool) -> Basic | MatrixBase | None:
    """The expression, not yet worked out; None if the text is not algebra."""
    if not is_algebra(text):
        return None
    try:
        latex = normalize_for_sympy(text, config=NORMALIZATION)
        parsed = latex2sympy(latex, is_real=not is_complex, convert_degrees=False, normalization_config=None)
    except BOMBS:
        raise
    except Exception:  # the parser raises bare exceptions for text that it cannot read
        return None
    return parsed if isinstance(parsed, Basic | MatrixBase) else None
