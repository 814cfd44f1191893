"""The dress of an answer taken off: delimiters, spacing, unicode signs, thousands marks. The mathematics is left as it is."""

from __future__ import annotations

import re

COMMAND_SIGNS = {
    "\u00d7": "times", "\u00b7": "cdot", "\u03c0": "pi", "\u221e": "infty", "\u222a": "cup", "\u2229": "cap", "\u2264": "le",
    "\u2265": "ge", "\u2260": "ne", "\u2248": "approx", "\u00b1": "pm", "\u2213": "mp", "\u00b0": "degree", "\u2205": "emptyset",
    "\u2220": "angle", "\u25b3": "triangle", "\u2208": "in", "\u03b1": "alpha", "\u03b2": "beta", "\u03b3": "gamma", "\u03b8": "theta",
    "\u03bb": "lambda", "\u03c6": "phi", "\u03c9": "omega", "\u03a9": "Omega", "\u2126": "Omega", "\u03bc": "mu", "\u00b5": "mu",
}  # fmt: skip
PLAIN_SIGNS = {
    "\u2212": "-", "\u2010": "-", "\u2011": "-", "\u2013": "-", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u3000": " ", "\u3002": ".",
    "\u3001": ",", "\u00bc": "\\frac{1}{4}", "\u00bd": "\\frac{1}{2}", "\u00be": "\\frac{3}{4}",
}  # fmt: skip
FULL_WIDTH = {chr(0xFEE0 + code): chr(code) for code in range(0x21, 0x7F)}
"""Digits, letters and signs as they are set between Chinese letters."""
SIGNS = str.maketrans({sign: f"\\{name} " for sign, name in COMMAND_SIGNS.items()} | PLAIN_SIGNS | FULL_WIDTH)

SUPERSCRIPTS = str.maketrans("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b", "0123456789-")
RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207b]+")
ROOT_SIGN = re.compile("\u221a\\s*(?:(\\d+|[a-zA-Z])|\\(([^()]*)\\))")

ESCAPED = re.compile(r"\\(\\(?:\[[^\[\]]{0,9}\])?|[!,;: ()\[\]$%])")
"""A line break of a matrix, which stays, or a command of one sign: spacing, a delimiter, a sign of text."""
ESCAPES = {"\\": r"\\", "%": "%"} | dict.fromkeys(",;: ", " ")
DEGREE = re.compile(r"\^\s*(?:\\circ(?![a-zA-Z])|\{\s*\\circ\s*\})")
BRACED_MARK = re.compile(r"\{([,.])\}")
LAYOUT_COMMAND = re.compile(r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|textstyle|boldsymbol|[lL]arge|q?quad)(?![a-zA-Z])")
RENAMED = re.compile(r"\\(?:([dtc]frac)|varnothing|lor|land)(?![a-zA-Z])")
RENAMES = {"\\varnothing": "\\emptyset", "\\lor": " or ", "\\land": " and "}
SHORT_FRACTION = re.compile(r"\\frac\s*(\d)\s*(\d)")
CONJUNCTION = re.compile(r"\\(?:text|textrm|mathrm|mbox)\s*\{\s*,?\s*(and|or)\s*\}")
PERCENT_WORD = re.compile(r"(?<=\d)\s*(?:\\text\{\s*)?percent\b\s*\}?")
MAGNITUDE = re.compile(r"(?<=\d)\s*(\\text\s*\{\s*)?(thousand|million|billion|trillion)\b(?:\s*(\}))?")
MAGNITUDES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
HALF_OF_A_DAY = re.compile(r"(?<=\d)(\s*(?:\\text\s*\{\s*)?)([ap])\.?\s?m\b\.?", re.IGNORECASE)
THOUSANDS = re.compile(r"(?<![\d.,(\[])(?<!\\\{)\d{1,3}(?:,\d{3})+(?![\d,])|(?<![\d.,])\d{1,3}(?: \d{3})+(?![\d,])")
OPENING = re.compile(r"^(?:=|\\approx(?![a-zA-Z]))\s*(?=\S)")


def undress(answer: str) -> str:
    r"""The answer in one spelling.

    Example: `$ 10{,}000 $.` -> `10000`, `\(\dfrac12\)` -> `\frac{1}{2}`, `5 \text{ million}` -> `5\times 10^{6}`
    """
    text = answer if answer.isascii() else _in_ascii(answer)
    text = ESCAPED.sub(lambda found: ESCAPES.get(found[1][0], ""), text)
    text = BRACED_MARK.sub(r"\1", text).replace("$", "").replace("~", " ").replace("**", "")
    text = DEGREE.sub(r"\\degree ", text)
    text = LAYOUT_COMMAND.sub(" ", text)
    text = RENAMED.sub(lambda found: "\\frac" if found[1] else RENAMES[found[0]], text)
    text = SHORT_FRACTION.sub(r"\\frac{\1}{\2}", text)
    text = CONJUNCTION.sub(r" \1 ", text)
    text = PERCENT_WORD.sub("%", text)
    text = MAGNITUDE.sub(_power_of_ten, text)
    text = HALF_OF_A_DAY.sub(lambda found: f"{found[1]}{found[2].lower()}m", text)
    text = THOUSANDS.sub(lambda found: re.sub("[, ]", "", found.group()), text)
    return OPENING.sub("", text.strip()).strip("` ").rstrip(".,;\\` \t\n")


def _in_ascii(text: str) -> str:
    text = RAISED.sub(lambda found: f"^{{{found[0].translate(SUPERSCRIPTS)}}}", text.translate(SIGNS))
    return ROOT_SIGN.sub(lambda found: f"\\sqrt{{{found[1] or found[2]}}}", text)


def _power_of_ten(found: re.Match[str]) -> str:
    opened, name, closed = found.groups()
    return rf"\times 10^{{{MAGNITUDES[name]}}}" + (r"\text{" if opened and not closed else "" if opened else closed or "")
