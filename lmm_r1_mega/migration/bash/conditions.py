"""What `test`, `[ ]` and `[[ ]]` say: true, false, or why the text does not tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lmm_r1_mega.migration.bash.arithmetic import Variables, evaluate
from lmm_r1_mega.migration.bash.expansion import Expander
from lmm_r1_mega.migration.bash.patterns import matches
from lmm_r1_mega.migration.bash.scan import Unreadable
from lmm_r1_mega.migration.bash.state import Shell
from lmm_r1_mega.migration.bash.unknown import Unknown, first_letter, readable

Truth = bool | Unknown

FILE_TESTS = frozenset("abcdefghkprstuwxGLNOS")
NUMBERS: dict[str, Callable[[int, int], bool]] = {
    "-eq": lambda a, b: a == b,
    "-ne": lambda a, b: a != b,
    "-lt": lambda a, b: a < b,
    "-le": lambda a, b: a <= b,
    "-gt": lambda a, b: a > b,
    "-ge": lambda a, b: a >= b,
}
TEXTS = ("=", "==", "!=", "<", ">", "=~", "-nt", "-ot", "-ef")


def negated(truth: Truth) -> Truth:
    """The opposite; what is not known stays so."""
    return truth if isinstance(truth, Unknown) else not truth


def both(first: Truth, second: Truth) -> Truth:
    """Whether both hold."""
    if first is False or second is False:
        return False
    return first if isinstance(first, Unknown) else second


def either(first: Truth, second: Truth) -> Truth:
    """Whether one holds."""
    return negated(both(negated(first), negated(second)))


@dataclass
class Conditions:
    """Judges conditions of one place in a script."""

    shell: Shell
    place: str

    def test(self, words: Sequence[str]) -> Truth:
        """The arguments of `test`, or what stands in `[ ]`."""
        known = [self.shell.decided(word) for word in words]
        kept = [new for old, new in zip(words, known, strict=True) if new or not old]  # an unquoted variable that is not there is no word
        for size in (1, 2, 3, 4):
            if len(kept) == size and (found := self._short(kept)) is not None:
                return found
        rest = list(kept)
        truth = self._any(rest) if rest else False
        if rest:
            raise Unreadable(f"{self.place}: [ {' '.join(words)} ] is not read here: use [[ ]] and &&")
        return truth

    def _short(self, words: list[str]) -> Truth | None:
        if len(words) == 1:
            return self.unary("-n", words[0])
        if words[0] == "!":
            inner = self._short(words[1:])
            return None if inner is None else negated(inner)
        if len(words) == 2:
            return self.unary(words[0], words[1]) if words[0][:1] == "-" and len(words[0]) == 2 else False
        if len(words) == 3 and (words[1] in TEXTS or words[1] in NUMBERS):
            return self.binary(words[0], words[1], words[2])
        return None

    def _any(self, words: list[str]) -> Truth:
        truth = self._all(words)
        while words[:1] == ["-o"]:
            del words[0]
            truth = either(truth, self._all(words))
        return truth

    def _all(self, words: list[str]) -> Truth:
        truth = self._one(words)
        while words[:1] == ["-a"]:
            del words[0]
            truth = both(truth, self._one(words))
        return truth

    def _one(self, words: list[str]) -> Truth:
        if words[:1] == ["!"]:
            del words[0]
            return negated(self._one(words))
        if words[:1] == ["("]:
            del words[0]
            truth = self._any(words)
            del words[:1]
            return truth
        size = (
            3 if len(words) > 2 and (words[1] in TEXTS or words[1] in NUMBERS) else 2 if re.fullmatch(r"-\w", words[0]) and words[1:] else 1
        )
        found, words[:size] = words[:size], []
        return self._short(found) or False

    def unary(self, sign: str, word: str, *, is_decided: bool = True) -> Truth:
        """One operand."""
        word = word if is_decided else self.shell.decided(word)
        letter = first_letter(word)
        if sign in ("-z", "-n"):
            if letter and not word.replace(letter, ""):
                return self.shell.unknowns.behind(letter)
            return (word == "") == (sign == "-z")
        if sign == "-v":
            return word in self.shell.variables and self.shell.variables[word].value is not None
        if sign[1:] in FILE_TESTS:
            return Unknown(f"`{sign} {readable(word)}` ({self.place}) depends on the files where the script runs")
        return Unknown(f"`{sign}` ({self.place}) is known only while the script runs")

    def binary(self, left: str, sign: str, right: str) -> Truth:
        """Two operands, both plain texts."""
        if letter := first_letter(left + right):
            return self.shell.unknowns.behind(letter)
        if sign in NUMBERS:
            if not all(re.fullmatch(r"\s*[-+]?\d+\s*", word) for word in (left, right)):
                return False  # bash complains, and goes on as if it were false
            return NUMBERS[sign](int(left), int(right))
        if sign in ("-nt", "-ot", "-ef"):
            return Unknown(f"`{left} {sign} {right}` ({self.place}) depends on the files where the script runs")
        if sign in ("<", ">"):
            return left < right if sign == "<" else left > right
        return (left == right) == (sign != "!=")


@dataclass
class DoubleBrackets:
    """Reads what stands in `[[ ]]`."""

    expander: Expander
    conditions: Conditions
    place: int
    end: int

    def truth(self) -> Truth:
        """Of the whole."""
        truth = self._any()
        if self._next() < self.end:
            raise Unreadable(f"{self.conditions.place}: [[ ]] is not read here as bash has it: simplify it")
        return truth

    def _any(self) -> Truth:
        truth = self._all()
        while self._take("||"):
            truth = either(truth, self._all())
        return truth

    def _all(self) -> Truth:
        truth = self._one()
        while self._take("&&"):
            truth = both(truth, self._one())
        return truth

    def _one(self) -> Truth:
        if self._take("!", blank=True):
            return negated(self._one())
        if self._take("("):
            truth = self._any()
            self._take(")")
            return truth
        start, end = self._word()
        first = self.expander.source.text[start:end]
        if re.fullmatch(r"-\w", first) and self._next() < self.end and self._operator() is None:
            operand = self.expander.text(*self._word())
            return self.conditions.unary(first, operand, is_decided=False)
        left = self._decided(self.expander.text(start, end))
        sign = self._operator()
        if sign is None:
            return self.conditions.unary("-n", left)
        self.place = self._next() + len(sign)
        right = self._word(is_regex=sign == "=~")
        if sign in NUMBERS:
            return self.conditions.binary(self._number(left, start), sign, self._number(self._decided(self.expander.text(*right)), start))
        if sign in ("=", "==", "!=", "=~"):
            return self._matched(left, sign, self._decided(self.expander.pattern(*right)))
        return self.conditions.binary(left, sign, self._decided(self.expander.text(*right)))

    def _number(self, text: str, start: int) -> str:
        """In `[[ ]]` numbers are arithmetic."""
        return text if first_letter(text) else self._decided(self.expander.computed(text, start))

    def _matched(self, left: str, sign: str, pattern: str) -> Truth:
        if first_letter(left + pattern):
            return self.conditions.binary(left, "=", pattern)
        if sign != "=~":
            return matches(left, pattern) == (sign != "!=")
        classes = {
            "[:digit:]": "0-9",
            "[:alpha:]": "a-zA-Z",
            "[:alnum:]": "a-zA-Z0-9",
            "[:space:]": r"\s",
            "[:upper:]": "A-Z",
            "[:lower:]": "a-z",
        }
        for name, letters in classes.items():
            pattern = pattern.replace(name, letters)
        try:
            found = re.search(pattern, left)
        except re.error as error:
            raise Unreadable(f"{self.conditions.place}: the regular expression {pattern} is not read here: {error}") from None
        groups = [] if found is None else [found[0], *(group or "" for group in found.groups())]
        self.conditions.shell.set("BASH_REMATCH", dict(enumerate(groups)))
        return found is not None

    def _decided(self, text: str) -> str:
        return self.conditions.shell.decided(text)

    def _next(self) -> int:
        match = re.compile(r"(?:\s|\\\n)*").match(self.expander.source.text, self.place, self.end)
        return match.end() if match else self.place

    def _take(self, sign: str, *, blank: bool = False) -> bool:
        start, text = self._next(), self.expander.source.text
        if not text.startswith(sign, start, self.end) or (blank and not text[start + 1 : start + 2].isspace()):
            return False
        self.place = start + len(sign)
        return True

    def _operator(self) -> str | None:
        """The operator that comes next, if one does."""
        match = re.compile(r"(==|=~|!=|=|<|>|-(?:eq|ne|lt|le|gt|ge|nt|ot|ef))(?=\s)").match(
            self.expander.source.text, self._next(), self.end
        )
        return match[1] if match else None

    def _word(self, *, is_regex: bool = False) -> tuple[int, int]:
        start = place = self._next()
        text = self.expander.source.text
        ends = " \t\n" if is_regex else " \t\n()|&"
        while place < self.end and text[place] not in ends:
            place = self.expander.scanner.skipped(place, quoted=False)
        if place == start:
            raise Unreadable(f"{self.conditions.place}: [[ ]] is not read here as bash has it: simplify it")
        self.place = place
        return start, place


def arithmetic_truth(expander: Expander, start: int, end: int) -> Truth:
    """Whether `((...))` is not 0; variables that are not there are 0."""
    shell = expander.shell
    value = expander.arithmetic(start, end)
    if not first_letter(value):
        return int(value) != 0
    if shell.decided(value):
        return shell.unknowns.behind(value)

    def read(name: str) -> str:
        variable = shell.get(name).value
        return shell.decided(variable) if isinstance(variable, str) else ""

    text = shell.decided("".join(piece.text for piece in expander.pieces(start, end)))
    return evaluate(text, Variables(read, shell.set)) != 0
