"""Which text is mathematics through and through, and which words are not: nothing else is given to the algebra."""

from __future__ import annotations

import re

COMMANDS = (
    "frac sqrt pi infty cup cap le ge ne lt gt approx pm mp times cdot div sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln "
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
ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{(?:[pbvVB]?matrix|array|cases|aligned)\}(?:\{[lcr|]*\})?")
LOOSE = re.compile(r"(?<![_^])\d\s+\d|\d\s+[a-zA-Z]{2}|[a-zA-Z]{2}\s+[a-zA-Z]|[a-zA-Z]\s+[a-zA-Z]{2}")
"""Numbers in a row, and words in one: the algebra would multiply them."""
UNREAD = re.compile(r"[\d)|\]]_|(?<!\^)\{\d+\}_|[-+]\s*[-+]")
"""An index of a number, which the algebra would drop, and two signs in a row."""
NAMED = re.compile(r"\\[a-zA-Z]+|(?<![a-zA-Z])(?:sin|cos|tan|log|ln|lcm|gcd|mod|max|min|exp)(?![a-zA-Z])")
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


def in_latex(text: str) -> str:
    r"""Functions, roots and combinations as LaTeX has them: `sqrt(3)` -> `\sqrt{3}`, `exp(x)` -> `e^{x}`, `C_5^2` -> `\binom{5}{2}`."""
    text = EXP_CALL.sub(r"e^{\1}", FUNCTIONS.sub(r"\\\1 ", ROOT_CALL.sub(r"\\sqrt{\1}", text)))
    text = CHOOSE.sub(lambda found: f"\\binom{{{found[1] or found[3]}}}{{{found[2] or found[4]}}}", text)
    return PRODUCT.sub(r"\g<0>\\cdot ", ARRANGE.sub(_arrangements, text))


def is_algebra(text: str) -> bool:
    """Whether every sign of a text is known mathematics: numbers, names of one to three letters, known commands, brackets."""
    text = ENVIRONMENT.sub("", text)
    if not TOKENS.fullmatch(text) or UNREAD.search(text) or LOOSE.search(NAMED.sub("|", text)) or SMALL_WORDS.search(text):
        return False
    return not re.fullmatch(r"[a-z]{3}|[A-Z]{3,}|[IVXLCDM]{2,}", text) and bool(re.search(r"[\da-zA-Z]", text))


def is_numeric(text: str) -> bool:
    """Whether no variable is in it: digits, functions and constants alone."""
    bare = re.sub(r"\\[a-zA-Z]+", "", text)
    return not re.search(r"[a-zA-Z]", bare) and (bool(re.search(r"\d", bare)) or "\\pi" in text)


def _arrangements(found: re.Match[str]) -> str:
    n, k = int(found[1] or found[3]), int(found[2] or found[4])
    return f"\\frac{{{n}!}}{{{n - k}!}}" if k <= n else found[0]
