"""One spelling of an answer: its characters, then its LaTeX. The mathematics and the words are left as they are."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

COMMAND_SIGNS = {
    "\u00d7": "times", "\u00b7": "cdot", "\u22c5": "cdot", "\u03c0": "pi", "\u221e": "infty", "\u222a": "cup", "\u2229": "cap",
    "\u2264": "le", "\u2265": "ge", "\u2266": "le", "\u2267": "ge", "\u2a7d": "le", "\u2a7e": "ge", "\u2260": "ne", "\u2248": "approx",
    "\u00b1": "pm", "\u2213": "mp", "\u00b0": "degree", "\u00ba": "degree", "\u02da": "degree", "\u2103": "degree C", "\u2109": "degree F",
    "\u2205": "emptyset", "\u2220": "angle", "\u25b3": "triangle", "\u2206": "Delta", "\u2208": "in", "\u03b1": "alpha",
    "\u03b2": "beta", "\u03b3": "gamma", "\u03b4": "delta", "\u03b8": "theta", "\u03bb": "lambda", "\u03c1": "rho", "\u03c3": "sigma",
    "\u03c6": "phi", "\u03c9": "omega", "\u03a9": "Omega", "\u2126": "Omega", "\u03bc": "mu", "\u00b5": "mu", "\u00f7": "div",
}  # fmt: skip
PLAIN_SIGNS = {
    "\u3002": ".", "\u3001": ",", "\u2236": ":", "\u2032": "'", "\u2033": "''", "\u2019": "'", "\u2018": "'", "\u201c": '"',
    "\u201d": '"', "\u3010": "[", "\u3011": "]", "\u223c": "~", "\u301c": "~", "\u2044": "/", "\u221a": "\u221a", "\u33a1": "m^2",
    "\u33a0": "cm^2", "\u33a5": "m^3", "\u33a4": "cm^3", "\u211d": "\\mathbb{R}", "\u211a": "\\mathbb{Q}", "\u2124": "\\mathbb{Z}",
    "\u2115": "\\mathbb{N}", "\u2026": "\\ldots ", "\u27e8": "(", "\u27e9": ")", "\u221b": "\\sqrt[3]\u221a", "\u2030": "/1000",
}  # fmt: skip
SIGNS = {sign: f"\\{name} " for sign, name in COMMAND_SIGNS.items()} | PLAIN_SIGNS
CATEGORIES = {"Cf": "", "Zs": " ", "Pd": "-"}
"""Of Unicode: signs that are not seen, spaces, dashes."""

CIRCLED_NUMBERS = range(0x2460, 0x2474)
SUPERSCRIPTS = str.maketrans("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b", "0123456789-")
RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207b]+")
LOWERED = re.compile("[\u2080-\u2089]+")
ROOT_SIGN = re.compile("\u221a\\s*(?:(\\d+(?:\\.\\d+)?|[a-zA-Z])|\\(([^()]*)\\)|\\{([^{}]*)\\})")
LAYOUT = re.compile(r"\\begin\{(align|aligned|equation|gather|gathered|center|split)(\*?)\}(.*?)\\end\{\1\2\}", re.DOTALL)
DELIMITER = re.compile(r"(?<!\\)\$+")
SINGLE_DELIMITER = re.compile(r"(?<!\\)\$")
DOLLAR = re.compile(r"(?<!\\)\$(?=\s*[\d.])|(?<=\d)\$")
QUOTED = re.compile(r"\"[^\"]+\"|'[^']+'")
WRAPPER = re.compile(
    r"\\(?:text|textbf|textrm|textit|textnormal|mathrm|mathbf|mathit|mathsf|mbox|operatorname\*?|emph|underline|rm|bf)"
    r"\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}"
)
COMMANDS = {
    name: text
    for names, text in (
        ("dfrac tfrac cfrac", r"\frac"), ("varnothing oslash", r"\emptyset "), ("leq leqslant", r"\le "), ("geq geqslant", r"\ge "),
        ("neq", r"\ne "), ("lt", "<"), ("gt", ">"), ("lor", " or "), ("land", " and "), ("lvert rvert", "|"), ("langle", "("),
        ("rangle", ")"), ("rightarrow longrightarrow", "->"), ("textdegree", r"\degree "),
        ("left right bigl bigr Bigl Bigr biggl biggr Biggl Biggr big Big bigg Bigg", " "),
        ("displaystyle textstyle boldsymbol bm large Large quad qquad space limits", " "),
    )
    for name in names.split()
}  # fmt: skip
"""Commands of layout, and second names."""
ESCAPES = {"\\": r"\\", "$": "$", "%": "%", "#": "#", "&": " and ", "_": "_"} | dict.fromkeys(",;: ~", " ")


@dataclass(frozen=True)
class Rewrite:
    """A row of the table."""

    purpose: str
    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str]
    example: tuple[str, str]
    """Before and after this row alone."""
    repeats: int = 1
    """For brackets in brackets."""


def _row(purpose: str, pattern: str | re.Pattern[str], replacement: str | Callable[[re.Match[str]], str], *example: str) -> Rewrite:
    before, after = example
    return Rewrite(purpose, re.compile(pattern), replacement, (before, after), repeats=3 if pattern is WRAPPER else 1)


REWRITES = (
    _row("tags", r"<(b|strong|i|em|u)>([^<>]*)</\1>", r"\2", "<b>5</b>", "5"),
    _row("fraction with over", r"\{\s*([^{}]*?)\s*\\over\s+([^{}]*?)\s*\}", r"\\frac{\1}{\2}", r"{1 \over 2}", r"\frac{1}{2}"),
    _row("plus or minus", r"\+/-", r"\\pm ", "+/-5", r"\pm 5"),
    _row("x before a power of ten", r"(?<=\d)\s*[xX]\s*(?=10\s*\^)", r"\\times ", "5 x 10^3", r"5\times 10^3"),
    _row("minus in words", r"(?i)^\s*(?:minus|negative)\s+(?=[\d.\\])", "-", "minus 5", "-5"),
    _row("in a year", r"(?i)^\s*in\s+(?=\d{4}\W*$)", "", "in 2015", "2015"),
    _row("rupees", r"(?<![a-zA-Z])Rs\.?\s*(?=\d)", "\u20b9", "Rs. 5", "\u20b95"),
    _row(
        "command of one sign, but the line break of a matrix", r"\\(\\(?:\[[^\[\]]{0,9}\])?|[!,;: ()\[\]$%#&_~])",
        lambda match: ESCAPES.get(match[1][0], ""), r"\(5\,\%\) \\", r"5 % \\",
    ),
    _row("mark in braces", r"\s*\{\s*([,.])\s*\}\s*", r"\1", "10{,}000", "10,000"),
    _row("degrees", r"\^\s*(?:\{\s*\\(?:circ|degree)\s*\}|\\(?:circ|degree)(?![a-zA-Z]))", r"\\degree ", r"3^{\circ}", r"3\degree "),
    _row("layout and second names", r"\\([a-zA-Z]+)", lambda match: COMMANDS.get(match[1], match[0]), r"\left(\dfrac12", r" (\frac12"),
    _row("inequality signs", r"([<>])=", lambda match: r"\le " if match[1] == "<" else r"\ge ", "x<=3", r"x\le 3"),
    _row("fonts", WRAPPER, r" \1 ", r"5\text{ cm}", "5  cm "),
    _row("number in a circle", r"\\textcircled\s*\{?\s*(\d+)\s*\}?", r"(\1)", r"\textcircled{3}", "(3)"),
    _row("power in Python", r"(?<=[a-zA-Z0-9)])\*\*(?=[-a-zA-Z0-9(])", "^", "x**2", "x^2"),
    _row("bold in Markdown", r"\*\*", "", "**5**", "5"),
    _row(
        "temperature", r"(?i)(?<!\\)\bdeg(?:ree)?s?\.?\s+([CF])(?:elsius|ahrenheit)?(?![a-zA-Z])", r"\\degree \1",
        "20 degrees Celsius", r"20 \degree C",
    ),
    _row("space that does not break; between numbers it is a range", r"~(?!\s*[$\d])", " ", "5~cm", "5 cm"),
    _row(
        "fraction without braces", r"\\frac\s*(?:(\d)|(\{[^{}]*\}))\s*(?:(\d)|(\{[^{}]*\}))",
        lambda match: "\\frac" + "".join(f"{{{part.strip('{}')}}}" for part in match.groups() if part), r"\frac12", r"\frac{1}{2}",
    ),
    _row("root without braces", r"\\sqrt\s*(\d)", r"\\sqrt{\1}", r"\sqrt2", r"\sqrt{2}"),
    _row("space before an index or a power", r"\s+(?=[\^_])", "", "x ^2", "x^2"),
    _row(
        "power without braces", r"\^\s*(?:\(\s*([^(){}]*)\s*\)|(-?\d+|-[a-zA-Z]))", lambda match: f"^{{{match[1] or match[2]}}}",
        "x^10", "x^{10}",
    ),
    _row("index of one sign", r"_\{\s*(\w)\s*\}", r"_\1", "x_{1}", "x_1"),
    _row("percent in words", r"(?<=[\d}])\s*(?:percent|per cent|pct)\b", "%", "5 percent", "5%"),
    _row("half of the day", r"(?i)(?<=\d)\s*([ap])\.?\s?m\b\.?", lambda match: f" {match[1].lower()}m", "5 P.M.", "5 pm"),
    _row(
        "decimal comma", r"(?<![\d.,])(\d{1,3}(?:\.\d{3})+),(\d+)(?![\d.,])", lambda match: f"{match[1].replace('.', '')}.{match[2]}",
        "1.234,5", "1234.5",
    ),
    _row(
        "thousands; in brackets a comma is between two numbers",
        r"(?<![\d.,(\[])(?<!\\\{)\d{1,3}(?:,\d{3})+(?![\d,])|(?<![\d.,])\d{1,3}(?:(?: \d{3})+|(?:'\d{3})+|(?:_\d{3})+)(?![\d,_'])",
        lambda match: re.sub("[,' _]", "", match[0]), "1,234 and (1,234)", "1234 and (1,234)",
    ),
    _row(
        "plus that says nothing", r"\+\s*(?=-\s*[\d.a-zA-Z\\(])|(?<=[(,\[=\s])\+\s*(?=\\infty)", "", r"(1+-2,+\infty)", r"(1-2,\infty)",
    ),
    _row("white space", r"\s+", " ", "5   cm\n", "5 cm "),
    _row("equal sign before all", r"^\s*(?:=|\\therefore(?![a-zA-Z]))\s*(?=\S)", "", "= 5", "5"),
)  # fmt: skip
"""In this order: what is read by one row may be written by another above it."""


def normalize_latex(answer: str) -> str:
    r"""The answer in one spelling; its mathematics and its words are left as they are.

    Example: `$ 10{,}000 $.` -> `10000`, `\(\dfrac12\)` -> `\frac{1}{2}`, `5\,\mathrm{cm}` -> `5 cm`, `$5` -> `$5`
    """
    text = _without_delimiters(answer if answer.isascii() else _in_ascii(answer))
    for row in REWRITES:
        for _ in range(row.repeats):
            text = row.pattern.sub(row.replacement, text)
    text = text.strip("` ").rstrip(".,;\\` ")
    return text[1:-1].strip() if QUOTED.fullmatch(text) else text


def without_layout(text: str) -> str:
    r"""Formulas out of the environments that lay them out: `\begin{align} x &= 1+2 \\ &= 3 \end{align}` -> `x = 1+2 = 3`."""
    return LAYOUT.sub(lambda match: re.sub(r"\\\\\s*&?\s*(?==)|(?<!\\)&", " ", match[3]), text)


def strip_spaces(text: str) -> str:
    """The text without the spaces that keep no words or numbers apart.

    Example: "2 x + 1 2" -> "2 x+1 2"
    """
    return re.sub(r"(?<!\w)\s+|\s+(?!\w)", "", text)


def _without_delimiters(text: str) -> str:
    """Without the dollar signs that delimit formulas; one without a partner beside a number is money."""
    if len(SINGLE_DELIMITER.findall(text)) % 2:
        text = DOLLAR.sub(r"\\$", text, count=1)
    return DELIMITER.sub(" ", text)


def _in_ascii(text: str) -> str:
    text = RAISED.sub(lambda match: f"^{{{match[0].translate(SUPERSCRIPTS)}}}", text)
    text = LOWERED.sub(lambda match: f"_{{{unicodedata.normalize('NFKC', match[0])}}}", text)
    text = "".join(sign if sign.isascii() else _one_sign(sign) for sign in text)
    for _ in range(3):
        text = ROOT_SIGN.sub(lambda match: f"\\sqrt{{{match[1] or match[2] or match[3]}}}", text).replace("]\\sqrt{", "]{")
    return text


def _one_sign(sign: str) -> str:
    """A sign in ASCII if it has a spelling there; nothing for one that is not seen."""
    if sign in SIGNS:
        return SIGNS[sign]
    if ord(sign) in CIRCLED_NUMBERS:
        return f"({CIRCLED_NUMBERS.index(ord(sign)) + 1})"
    category = unicodedata.category(sign)
    if category in CATEGORIES:
        return CATEGORIES[category]
    if category == "Nd":
        return str(unicodedata.decimal(sign))
    normal = unicodedata.normalize("NFKC", sign)
    if unicodedata.decomposition(sign).startswith("<fraction>"):
        top, bottom = normal.split("\u2044")
        return f"\\frac{{{top}}}{{{bottom}}}" if bottom else sign
    return "-" if normal == "\u2212" else normal
