"""What `test`, `[ ]` and `[[ ]]` say: true, false, or why the text does not tell."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lmm_r1_mega.migration.bash.expansion import Expander
from lmm_r1_mega.migration.bash.state import Shell, Truth
from lmm_r1_mega.migration.bash.unknown import Unknown, first_letter, is_split, readable
from lmm_r1_mega.migration.bash.words import Piece, as_pattern, compiled, joined

_NUMBERS: dict[str, Callable[[int, int], bool]] = {f"-{name}": getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}
_BINARY = {*_NUMBERS, "=", "==", "!=", "<", ">", "=~", "-nt", "-ot", "-ef"}
_SIGN = re.compile(r"&&|\|\||[()]|(?:!|==?|!=|=~|<|>)(?=\s)")


@dataclass(frozen=True)
class Token:
    """A word or a sign of a condition."""

    raw: str
    """As it stands in the script: a quoted sign is none."""
    pieces: list[Piece]

    @property
    def text(self) -> str:
        """The word as it is compared."""
        return joined(self.pieces)


def negated(truth: Truth) -> Truth:
    """The opposite; what is not known stays so."""
    return truth if isinstance(truth, Unknown) else not truth


def test(words: list[str], shell: Shell, position: str) -> Truth:
    """The arguments of `test`, or what stands in `[ ]`."""
    known = [(word, shell.decided(word)) for word in words]
    kept = [text for word, text in known if text or not is_split(word)]  # an unquoted variable that is not set is no word
    if not kept or (len(kept) == 2 and not re.fullmatch(r"-\w|!", kept[0])):
        return False  # bash complains, and goes on
    return _judged([Token(text, [Piece(text, "quoted")]) for text in kept], ("-o", "-a"), shell, position)


def double_brackets(expander: Expander, start: int, end: int) -> Truth:
    """What stands in `[[ ]]`."""
    source, tokens = expander.source, list[Token]()
    index = source.next_word(start, end)
    while index < end:
        is_expression = bool(tokens) and tokens[-1].raw == "=~"
        sign = None if is_expression else _SIGN.match(source.text, index, end)
        after = sign.end() if sign else source.word_end(index, end, " \t\n" if is_expression else " \t\n()|&")
        tokens.append(Token(source.text[index:after], [] if sign else expander.decided(index, after)))
        index = source.next_word(after, end)
    return _judged(tokens, ("||", "&&"), expander.shell, source.position(start))


def _judged(tokens: Sequence[Token], signs: tuple[str, str], shell: Shell, position: str) -> Truth:
    """A condition without parentheses; `signs` are those of "or" and "and"."""
    raws = [token.raw for token in tokens]
    if len(tokens) == 3 and raws[1] in _BINARY:
        return _compared(
            tokens[0].text, raws[1], tokens[2], shell, f"`{readable(' '.join(raws))}` ({position})", is_double=signs[0] == "||"
        )
    for sign, decisive in zip(signs, (True, False), strict=True):  # a true part of "or" decides alone, and a false one of "and"
        if sign in raws:
            middle = raws.index(sign)
            truths = [_judged(part, signs, shell, position) for part in (tokens[:middle], tokens[middle + 1 :])]
            unknown = [truth for truth in truths if isinstance(truth, Unknown)]
            return decisive if decisive in truths else unknown[0] if unknown else not decisive
    if len(tokens) > 1 and raws[0] == "!":
        return negated(_judged(tokens[1:], signs, shell, position))
    if len(tokens) == 1 and (signs[0] == "-o" or tokens[0].pieces or not _SIGN.fullmatch(f"{raws[0]} ", 0, len(raws[0]))):
        raws, tokens = ["-n", *raws], [*tokens, *tokens]
    if len(tokens) != 2 or not re.fullmatch(r"-\w", raws[0]):
        raise ValueError("write it with [[ ]], && and ||, and without parentheses")
    letter, text = first_letter(tokens[1].text), tokens[1].text
    if raws[0] not in ("-z", "-n"):
        return Unknown(f"`{raws[0]} {readable(text)}` ({position}) depends on the files where the script runs, or on its shell")
    if letter and not text.replace(letter, ""):
        return shell.unknowns.first(letter) or False
    return (text == "") == (raws[0] == "-z")


def _compared(left: str, sign: str, right: Token, shell: Shell, shown: str, *, is_double: bool) -> Truth:
    if (why := shell.unknowns.first(left + right.text)) is not None:
        return why
    if sign in _NUMBERS and not is_double:  # bash complains about other words, and goes on as if it were false
        is_number = all(re.fullmatch(r"\s*[-+]?\d+\s*", word) for word in (left, right.text))
        return is_number and _NUMBERS[sign](int(left), int(right.text))
    if sign in _NUMBERS and all(re.fullmatch(r"(0|[1-9]\d*)?", word) for word in (left, right.text)):
        return _NUMBERS[sign](int(left or 0), int(right.text or 0))
    if sign in ("=", "==", "!="):
        return (compiled(as_pattern(right.pieces)).fullmatch(left) is not None) == (sign != "!=")
    if sign in ("<", ">") and is_double:
        return left < right.text if sign == "<" else left > right.text
    return Unknown(f"{shown} is not read here: write it with == and a pattern, or with (( ))")
