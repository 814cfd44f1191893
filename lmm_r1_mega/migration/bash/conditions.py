"""What `test`, `[ ]` and `[[ ]]` say: true, false, or why the text does not tell."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from lmm_r1_mega.migration.bash import patterns
from lmm_r1_mega.migration.bash.expansion import Expander
from lmm_r1_mega.migration.bash.state import Shell, Truth
from lmm_r1_mega.migration.bash.unknown import Unknown, first_letter, is_split, readable
from lmm_r1_mega.migration.bash.words import as_pattern, joined

_FILE_TESTS = "abcdefghkprstuwxGLNOS"
_NUMBERS: dict[str, Callable[[int, int], bool]] = {f"-{name}": getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}
_BINARY = {*_NUMBERS, "=", "==", "!=", "<", ">", "=~", "-nt", "-ot", "-ef"}
_SIGN = re.compile(r"&&|\|\||[()]|(?:!|==?|!=|=~|<|>)(?=\s)")
_BLANK = re.compile(r"(?:\s|\\\n)*")


@dataclass(frozen=True)
class Token:
    """A word or a sign of a condition."""

    raw: str
    """As it stands in the script: a quoted sign is none."""
    text: str
    pattern: str


def negated(truth: Truth) -> Truth:
    """The opposite; what is not known stays so."""
    return truth if isinstance(truth, Unknown) else not truth


def test(words: list[str], shell: Shell, place: str) -> Truth:
    """The arguments of `test`, or what stands in `[ ]`."""
    known = [shell.decided(word) for word in words]
    kept = [
        new for old, new in zip(words, known, strict=True) if new or not is_split(old)
    ]  # an unquoted variable that is not there is no word
    return _Reader([Token(word, word, patterns.quote(word)) for word in kept], shell, place, either="-o", both="-a").truth()


def double_brackets(expander: Expander, start: int, end: int) -> Truth:
    """What stands in `[[ ]]`."""
    place, text, shell = expander.source.place(start), expander.source.text, expander.shell
    tokens: list[Token] = []
    at = start
    while (at := _end(_BLANK, text, at, end)) < end:
        if at < (after := _end(_SIGN, text, at, end)) and (not tokens or tokens[-1].raw != "=~"):
            tokens.append(Token(text[at:after], "", ""))
        else:
            ends = " \t\n" if tokens and tokens[-1].raw == "=~" else " \t\n()|&"
            after = expander.source.word_end(at, end, ends)
            if after == at:
                raise ValueError("simplify it")
            pieces = expander.decided(at, after)
            tokens.append(Token(text[at:after], joined(pieces), as_pattern(pieces)))
        at = after
    return _Reader(tokens, shell, place, either="||", both="&&", compute=lambda word: expander.computed(word, start, decides=True)).truth()


def arithmetic_truth(expander: Expander, start: int, end: int) -> Truth:
    """Whether `((...))` is not 0; variables that are not there are 0."""
    value = expander.computed(expander.expression(start, end), start, decides=True)
    return expander.shell.unknowns.first(value) or int(value) != 0


def _end(pattern: re.Pattern[str], text: str, start: int, end: int) -> int:
    match = pattern.match(text, start, end)
    return match.end() if match else start


@dataclass
class _Reader:
    """Judges a condition while it reads it."""

    tokens: list[Token]
    shell: Shell
    place: str
    either: str
    """The sign of "or"."""
    both: str
    compute: Callable[[str], str] | None = None
    """In `[[ ]]` numbers are arithmetic."""

    def truth(self) -> Truth:
        """Of the whole."""
        if not self.tokens or (self.compute is None and len(self.tokens) == 2 and not re.fullmatch(r"-\w|!", self.tokens[0].raw)):
            return False  # bash complains, and goes on
        if self.compute is None and len(self.tokens) == 4 and self.tokens[0].raw == "!":
            del self.tokens[0]
            return negated(self.truth())
        truth = self._any()
        if self.tokens:
            raise ValueError("use [[ ]] with && and ||")
        return truth

    def _any(self) -> Truth:
        return self._joined(self.either, True, lambda: self._joined(self.both, False, self._one))

    def _joined(self, sign: str, decisive: bool, part: Callable[[], Truth]) -> Truth:
        """Parts of which one alone may decide."""
        truth = part()
        while self._take(sign):
            other = part()
            truth = decisive if decisive in (truth, other) else truth if isinstance(truth, Unknown) else other
        return truth

    def _one(self) -> Truth:
        raws = [token.raw for token in self.tokens[:3]]
        if len(raws) == 3 and raws[1] in _BINARY:
            left, sign, right = self.tokens[:3]
            del self.tokens[:3]
            return self._binary(left.text, sign.raw, right)
        if len(raws) > 1 and self._take("!"):
            return negated(self._one())
        if len(raws) > 1 and self._take("("):
            truth = self._any()
            if not self._take(")"):
                raise ValueError("use [[ ]] with && and ||")
            return truth
        if len(raws) > 1 and re.fullmatch(r"-\w", raws[0]) and raws[1] not in (self.either, self.both, ")"):
            sign, word = self.tokens[:2]
            del self.tokens[:2]
            return self._unary(sign.raw, word.text)
        if not raws or (self.compute and _SIGN.fullmatch(raws[0] + " ")):
            raise ValueError("simplify it")
        return self._unary("-n", self.tokens.pop(0).text)

    def _take(self, sign: str) -> bool:
        is_next = [token.raw for token in self.tokens[:1]] == [sign]
        del self.tokens[: int(is_next)]
        return is_next

    def _unary(self, sign: str, word: str) -> Truth:
        """One operand."""
        letter = first_letter(word)
        if sign in ("-z", "-n"):
            is_unsure = letter and not word.replace(letter, "")
            return self.shell.unknowns.behind(letter) if is_unsure else (word == "") == (sign == "-z")
        if sign == "-v" and not letter and word.isidentifier():
            value = self.shell.get(word).value
            return self.shell.is_open or False if value is None else self.shell.unknowns.first(str(value)) or True
        if sign[1:] in _FILE_TESTS:
            return Unknown(f"`{sign} {readable(word)}` ({self.place}) depends on the files where the script runs")
        return Unknown(f"`{sign}` ({self.place}) is known only while the script runs")

    def _binary(self, left: str, sign: str, right: Token) -> Truth:
        """Two operands."""
        if letter := first_letter(left + right.text):
            return self.shell.unknowns.behind(letter)
        if sign in _NUMBERS:
            numbers = [self.compute(word) if self.compute else word for word in (left, right.text)]
            if letter := first_letter("".join(numbers)):
                return self.shell.unknowns.behind(letter)
            if not all(re.fullmatch(r"\s*[-+]?\d+\s*", word) for word in numbers):
                return False  # bash complains, and goes on as if it were false
            return _NUMBERS[sign](int(numbers[0]), int(numbers[1]))
        if sign in ("-nt", "-ot", "-ef"):
            return Unknown(f"`{left} {sign} {right.text}` ({self.place}) depends on the files where the script runs")
        if sign in ("<", ">"):
            return left < right.text if sign == "<" else left > right.text
        if sign == "=~":
            return self._searched(left, right.pattern)
        return (patterns.compiled(right.pattern).fullmatch(left) is not None) == (sign != "!=")

    def _searched(self, left: str, pattern: str) -> bool:
        """`[[ text =~ pattern ]]`"""
        if self.compute is None:
            raise ValueError("use [[ ]] for =~")
        found = re.search(patterns.with_classes(pattern), left)
        groups = [] if found is None else [found[0], *(group or "" for group in found.groups())]
        self.shell.set("BASH_REMATCH", dict(enumerate(groups)))
        return found is not None
