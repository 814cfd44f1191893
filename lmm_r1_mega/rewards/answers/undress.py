"""One spelling of an answer: its characters, then its LaTeX. The mathematics and the words are left as they are."""

from __future__ import annotations

import re
import unicodedata

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

SUPERSCRIPTS = str.maketrans("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b", "0123456789-")
RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207b]+")
LOWERED = re.compile("[\u2080-\u2089]+")
ROOT_SIGN = re.compile("\u221a\\s*(?:(\\d+(?:\\.\\d+)?|[a-zA-Z])|\\(([^()]*)\\)|\\{([^{}]*)\\})")

REWRITTEN = (
    (re.compile(r"<(b|strong|i|em|u)>([^<>]*)</\1>"), r"\2"),
    (re.compile(r"\{\s*([^{}]*?)\s*\\over\s+([^{}]*?)\s*\}"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\(?:long)?rightarrow(?![a-zA-Z])"), "->"),
    (re.compile(r"\+/-"), r"\\pm "),
    (re.compile(r"(?<=\d)\s*[xX]\s*(?=10\s*\^)"), r"\\times "),
    (re.compile(r"^\s*(?:minus|negative)\s+(?=[\d.\\$])", re.IGNORECASE), "-"),
    (re.compile(r"^\s*in\s+(?=\d{4}\W*$)", re.IGNORECASE), ""),
    (re.compile(r"(?<![a-zA-Z])Rs\.?\s*(?=\d)"), "\u20b9"),
)
"""Wrappers and second spellings, and the first."""
LAYOUT = re.compile(r"\\begin\{(align|aligned|equation|gather|gathered|center|split|displaymath)(\*?)\}(.*?)\\end\{\1\2\}", re.DOTALL)
DELIMITER = re.compile(r"(?<!\\)\$+")
SINGLE_DELIMITER = re.compile(r"(?<!\\)\$")
DOLLAR = re.compile(r"(?<!\\)\$(?=\s*[\d.])|(?<=\d)\$")
ESCAPED = re.compile(r"\\(\\(?:\[[^\[\]]{0,9}\])?|[!,;: ()\[\]$%#&_~])")
"""A line break of a matrix, which stays, or a command of one sign: spacing, a delimiter, a sign of text."""
ESCAPES = {"\\": r"\\", "$": "$", "%": "%", "#": "#", "&": " and ", "_": "_"} | dict.fromkeys(",;: ~", " ")
DEGREE = re.compile(r"\^\s*(?:\\circ(?![a-zA-Z])|\{\s*\\circ\s*\}|\\degree(?![a-zA-Z])|\{\s*\\degree\s*\}|o(?![a-zA-Z]))")
BRACED_MARK = re.compile(r"\s*\{\s*([,.])\s*\}\s*")
LAYOUT_COMMAND = re.compile(
    r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|textstyle|boldsymbol|bm|[lL]arge|q?quad|limits|nolimits|tiny|small)(?![a-zA-Z])"
)
RENAMED = re.compile(
    r"\\(?:([dtc]frac)|varnothing|oslash|lor|land|leqslant|geqslant|leq|geq|neq|textdegree|lvert|rvert|space|langle|rangle)(?![a-zA-Z])"
)
RENAMES = {
    "varnothing": r"\emptyset ", "oslash": r"\emptyset ", "lor": " or ", "land": " and ", "leqslant": r"\le ", "geqslant": r"\ge ",
    "leq": r"\le ", "geq": r"\ge ", "neq": r"\ne ", "textdegree": r"\degree ", "lvert": "|", "rvert": "|", "space": " ",
    "langle": "(", "rangle": ")",
}  # fmt: skip
WRAPPER = re.compile(
    r"\\(?:text|textbf|textrm|textit|textsf|texttt|textnormal|mathrm|mathbf|mathit|mathsf|mbox|operatorname\*?|emph|underline|rm|bf)"
    r"\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}"
)
CIRCLED = re.compile(r"\\textcircled\s*(?:\{\s*(\d+)\s*\}|(\d))")
SHORT_FRACTION = re.compile(r"\\frac\s*(?:(\d)\s*(\d)|(\d)\s*(\{[^{}]*\})|(\{[^{}]*\})\s*(\d))")
SHORT_ROOT = re.compile(r"\\sqrt\s*(\d)")
ONE_SIGN_INDEX = re.compile(r"_\{\s*(\w)\s*\}")
LONG_POWER = re.compile(r"\^\s*(?:\(\s*([^(){}]*)\s*\)|(-?\d+|-[a-zA-Z]))")
PERCENT_WORD = re.compile(r"(?<=[\d}])\s*(?:percent|per cent|pct)\b")
PYTHON_POWER = re.compile(r"(?<=[a-zA-Z0-9)])\*\*(?=[-a-zA-Z0-9(])")
TIE = re.compile(r"(?<![\d%\s])\s*~|~(?!\s*[$\d])")
"""A space that does not break; between numbers it is a range."""
TEMPERATURE = re.compile(r"(?<!\\)\bdeg(?:ree)?s?\.?\s+([CF])(?:elsius|ahrenheit)?(?![a-zA-Z])", re.IGNORECASE)
HALF_OF_A_DAY = re.compile(r"(?<=\d)\s*([ap])\.?\s?m\b\.?", re.IGNORECASE)
DECIMAL_COMMA = re.compile(r"(?<![\d.,])(\d{1,3}(?:\.\d{3})+),(\d+)(?![\d.,])")
THOUSANDS = re.compile(
    r"(?<![\d.,(\[])(?<!\\\{)\d{1,3}(?:,\d{3})+(?![\d,])|(?<![\d.,])\d{1,3}(?:(?: \d{3})+|(?:'\d{3})+|(?:_\d{3})+)(?![\d,_'])"
)
QUOTED = re.compile(r"\"[^\"]+\"|'[^']+'")
OPENING = re.compile(r"^(?:=|\\approx(?![a-zA-Z])|\\therefore(?![a-zA-Z]))\s*(?=\S)")
PLUS_SIGNS = re.compile(r"\+\s*(?=-\s*[\d.a-zA-Z\\(])|(?<=[(,\[=\s])\+\s*(?=\\infty)")


def undress(answer: str) -> str:
    r"""The answer in one spelling.

    Example: `$ 10{,}000 $.` -> `10000`, `\(\dfrac12\)` -> `\frac{1}{2}`, `5\,\mathrm{cm}` -> `5 cm`, `$5` -> `$5`
    """
    for spelling, spelled in REWRITTEN:
        answer = spelling.sub(spelled, answer)
    text = _without_delimiters(answer if answer.isascii() else _in_ascii(answer))
    text = ESCAPED.sub(lambda found: ESCAPES.get(found[1][0], ""), text)
    text = BRACED_MARK.sub(r"\1", text)
    text = DEGREE.sub(r"\\degree ", text)
    text = LAYOUT_COMMAND.sub(" ", text)
    text = RENAMED.sub(lambda found: "\\frac" if found[1] else RENAMES[found[0][1:]], text)
    for _ in range(3):
        text = WRAPPER.sub(r" \1 ", text)
    text = CIRCLED.sub(lambda found: f"({found[1] or found[2]})", text)
    text = PYTHON_POWER.sub("^", text).replace("**", "")
    text = TIE.sub(" ", TEMPERATURE.sub(r"\\degree \1", text))
    text = SHORT_FRACTION.sub(_long_fraction, text)
    text = SHORT_ROOT.sub(r"\\sqrt{\1}", text)
    text = re.sub(r"\s+(?=[\^_])", "", text)
    text = ONE_SIGN_INDEX.sub(r"_\1", LONG_POWER.sub(lambda found: f"^{{{found[1] or found[2]}}}", text))
    text = HALF_OF_A_DAY.sub(lambda found: f" {found[1].lower()}m", PERCENT_WORD.sub("%", text))
    text = DECIMAL_COMMA.sub(lambda found: f"{found[1].replace('.', '')}.{found[2]}", text)
    text = THOUSANDS.sub(lambda found: re.sub("[,' _]", "", found.group()), text)
    text = PLUS_SIGNS.sub("", text)
    text = OPENING.sub("", " ".join(text.split())).strip("` ").rstrip(".,;\\` ")
    return text[1:-1].strip() if QUOTED.fullmatch(text) else text


def without_layout(text: str) -> str:
    r"""Formulas out of the environments that lay them out: `\begin{align} x &= 1+2 \\ &= 3 \end{align}` -> `x = 1+2 = 3`."""
    return LAYOUT.sub(lambda found: re.sub(r"\\\\\s*&?\s*(?==)|(?<!\\)&", " ", found[3]), text)


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


def _long_fraction(found: re.Match[str]) -> str:
    top, bottom = (part.strip("{}") for part in found.groups() if part)
    return f"\\frac{{{top}}}{{{bottom}}}"


def _in_ascii(text: str) -> str:
    text = RAISED.sub(lambda found: f"^{{{found[0].translate(SUPERSCRIPTS)}}}", text)
    text = LOWERED.sub(lambda found: f"_{{{unicodedata.normalize('NFKC', found[0])}}}", text)
    text = "".join(sign if sign.isascii() else _one_sign(sign) for sign in text)
    for _ in range(3):
        text = ROOT_SIGN.sub(lambda found: f"\\sqrt{{{found[1] or found[2] or found[3]}}}", text).replace("]\\sqrt{", "]{")
    return text


def _one_sign(sign: str) -> str:
    """A sign in ASCII where it has a spelling there; nothing for one that is not seen."""
    if sign in SIGNS:
        return SIGNS[sign]
    if "\u2460" <= sign <= "\u2473":  # a number in a circle
        return f"({ord(sign) - 0x245F})"
    category = unicodedata.category(sign)
    if category in CATEGORIES:
        return CATEGORIES[category]
    if category == "Nd":
        return str(unicodedata.decimal(sign))
    if unicodedata.decomposition(sign).startswith("<fraction>"):
        top, bottom = unicodedata.normalize("NFKC", sign).split("\u2044")
        return f"\\frac{{{top}}}{{{bottom}}}" if bottom else sign
    normal = unicodedata.normalize("NFKC", sign)
    return "-" if normal == "\u2212" else normal
