"""Option letters and numbers of statements: `(B) 5 cm`, `A, C`, `I and III`."""

from __future__ import annotations

import re

from lmm_r1_mega.rewards.answers.kinds import Choice, Letters, Statements

OPTION_IS = re.compile(
    r"(?:(?:the\s+)?(?:(?:correct|final|right|best)\s+)?(?:option|choice|answer)(?:\s+is|:)?:?"
    "|\u6545?(?:\u9009\u9879|\u9009\u62e9|\u9009|\u7b54\u6848)[\u662f\u4e3a:]?"
    r")\s*",
    re.IGNORECASE,
)
"""What may stand before an option letter."""
OPTION_RIGHT = re.compile(
    r"\s*(?:is|would be)\s+(?:the\s+)?(?:correct|right|true|answer|best)(?:\s+(?:one|option|choice|answer))?|\s*\u9009\u9879", re.IGNORECASE
)
"""What may stand behind it."""
OPTIONS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"[(\[](?P<letter>[A-Ha-h])[)\]][.:,]?\s*(?P<content>.*)",
        r"(?P<letter>[A-Ha-h])(?:[.)](?:\s(?P<content>.*))?)?",
        r"(?P<letter>[A-H])(?:[:,]\s*(?![A-H]\b)|[.](?=\D)|\s(?=[A-Z][a-z]|[\d$\\]))(?P<content>.*)",
    )
)
OTHER_OPTIONS = re.compile(r"(?<![a-zA-Z\d])(?:[(\[][A-Ha-h][)\]]|[A-Ha-h][.):](?!\S))|^(?:(?:and|or)\b|[A-H]\b|[\s,;/&])+$")
"""Behind an option letter: another with its marks, or bare letters alone."""
OTHER_LETTER = re.compile(r"(?<![\w\\])[A-H](?![\w'])")
HEDGES = re.compile(r"\b(?:but|also|or|possible|though|however|either|both|actually|wait|instead|correct)\b", re.IGNORECASE)
DENIES = re.compile(
    r"(?:\b(?:not|never|cannot|neither|nor|no|except|without|unless|wrong|incorrect|false|may|might|maybe|could|perhaps|possibly|than|unknown"
    r"|unclear|least|most|if)\b|n't\b|[\u4e0d\u6ca1\u65e0\u975e\u9519\u672a]|\u53ef\u80fd|\u4e5f\u8bb8|\u6216\u8bb8)",
    re.IGNORECASE,
)
"""With one of these before it, a value is not what is said."""
SAYS_OF_IT = re.compile(
    r"(?:is|was|are|can|cannot|could|may|might|would|does|seems|or|and|but|unless|except|maybe|perhaps|possibly|wait|though|however)\b"
)
"""At the start of what stands behind an option letter: a statement about the letter and not its content."""
NEITHER_NOR = re.compile(r"\bneither\s+[A-H]\s+nor\s+[A-H]\b")
LETTERS = re.compile(r"[(\[]?[A-H][)\]]?(?:(?:\s*[,;&]\s*(?:and\s+)?|\s+and\s+|\s*\u548c\s*|\s*)[(\[]?[A-H][)\]]?)+")
LABELED = re.compile(r"\(([A-H])\)[^()]*")
ALL_LABELED = re.compile(rf"(?:{LABELED.pattern}){{2,}}")
MANY_LETTERS = 4
ROMAN = "(?:I{1,3}|IV|VI{0,3})"
ROMANS = re.compile(rf"(?:statements?\s+)?({ROMAN}(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+){ROMAN})+)(?:\s+only)?", re.IGNORECASE)
STATEMENTS = re.compile(r"\(\d{1,2}\)(?:(?:\s*[,;]?\s*(?:and\s+)?|\s*\u548c\s*)\(\d{1,2}\))+")


def option(text: str) -> Choice | None:
    """`A` for "A", "(a)", "A)", "[A]", "A. 5", "(A) 5", "option A", "A is correct"; None for everything else, also for two letters."""
    introduction = OPTION_IS.match(text)
    text = text[introduction.end() :] if introduction else text
    if re.match(r"[(\[]?[A-H][)\]]?", text):
        text = OPTION_RIGHT.sub("", text)
    match = next((match for pattern in OPTIONS if (match := pattern.fullmatch(text.strip(" .:")))), None)
    if not match:
        return None
    letter, content = match["letter"], NEITHER_NOR.sub("", (match["content"] or "").strip())
    is_other = any(other != letter for other in OTHER_LETTER.findall(content)) and (HEDGES.search(content) or DENIES.search(content))
    return None if is_other or OTHER_OPTIONS.search(content) or SAYS_OF_IT.match(content) else Choice(letter.upper(), content)


def option_letters(text: str) -> Letters | None:
    """`A, C`, `AC`, `(A) iron (C) copper`."""
    is_labeled = ALL_LABELED.fullmatch(text) and not (HEDGES.search(text) or DENIES.search(text))
    if not (is_labeled or LETTERS.fullmatch(text)):
        return None
    letters = LABELED.findall(text) if is_labeled else re.findall("[A-H]", text)
    return Letters(tuple(letters)) if len(set(letters)) == len(letters) else None


def statements(text: str) -> Statements | None:
    """`(1)(3)`, `I and III`, `statements I, II only`."""
    if romans := ROMANS.fullmatch(text):
        return Statements(tuple(re.findall("[IV]+", romans[1].upper())))
    return Statements(tuple(re.findall(r"\d+", text))) if STATEMENTS.fullmatch(text) else None


def same_letters(gold: Letters, answer: Letters) -> bool:
    """In any order; but many letters, or letters that are not in the alphabet's order, are an order themselves."""
    is_set = sorted(gold.letters) == list(gold.letters) and len(gold.letters) < MANY_LETTERS
    return sorted(gold.letters) == sorted(answer.letters) if is_set else gold.letters == answer.letters


def same_statements(gold: Statements, answer: Statements) -> bool:
    return sorted(gold.numbers) == sorted(answer.numbers)
