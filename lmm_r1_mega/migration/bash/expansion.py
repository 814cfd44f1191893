"""Words as bash expands them: quotes, variables with all their operators, arithmetic, `$(...)`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from lmm_r1_mega.migration.bash.arithmetic import Variables, assigned, evaluate
from lmm_r1_mega.migration.bash.parameters import Parameter, Parameters
from lmm_r1_mega.migration.bash.state import Shell
from lmm_r1_mega.migration.bash.tree import Node, Source, Span, parse
from lmm_r1_mega.migration.bash.unknown import as_split, first_letter, readable
from lmm_r1_mega.migration.bash.words import END, Origin, Piece, Word, as_pattern, joined, split, with_braces

_NAME = re.compile(r"[A-Za-z_]\w*|[0-9@*#?$!-]")
_BRACED = re.compile(r"(?P<sign>[!#](?=[\w@*]))?(?P<name>[A-Za-z_]\w*|[0-9]+|[@*#?$!-])")
_OPERATOR = re.compile(r":?[-=?+]|##?|%%?|//?[#%]?|\^\^?|,,?|@|:")
_ANSI = {"n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"'}


@dataclass
class Expander(Parameters):
    """Expands the words of one text with what a shell knows."""

    source: Source
    substitute: Callable[[Source, Node, Shell], str]
    """What the commands inside `$(...)` print."""

    def fields(self, start: int, end: int) -> list[Word]:
        """The words that one word becomes."""
        words = [word for pieces in with_braces(self.pieces(start, end)) for word in split(pieces, self.separators)]
        return [self._with_files(word, start) for word in words]

    def text(self, start: int, end: int) -> str:
        """One text, as in an assignment: nothing is split."""
        return joined(self.pieces(start, end, assigned=True))

    def pattern(self, start: int, end: int) -> str:
        """A pattern: what is quoted in it stands for itself."""
        return as_pattern(self.pieces(start, end))

    def decided(self, start: int, end: int) -> list[Piece]:
        """A word that a decision hangs on: variables that are not there are empty."""
        return [Piece(self.shell.decided(piece.text), piece.origin) for piece in self.pieces(start, end)]

    def here_text(self, start: int, end: int) -> str:
        """The lines of a here-document."""
        return joined(self.pieces(start, end, quoted=True, escapes="$`\\"))

    def arithmetic(self, start: int, end: int) -> str:
        """The value of an expression, as text."""
        return self.computed(self.expression(start, end), start)

    def expression(self, start: int, end: int) -> str:
        """The text of an expression, its `$` expanded."""
        return joined(self.pieces(start, end, quoted=True)).replace('"', "")

    def computed(self, text: str, start: int, *, decides: bool = False) -> str:
        """The value of an arithmetic text; where a decision hangs on it, variables that are not there are 0."""
        unsure = [self.shell.decided(first_letter(text)) if decides else first_letter(text)]

        def read(name: str) -> str:
            base, bracket, key = name.partition("[")
            index = self.computed(key[:-1], start) if bracket else None
            value = "".join(self.look_up(base, self.source.place(start), key=index).values)
            unsure.append(first_letter(self.shell.decided(value) if decides else value))
            return "1" if first_letter(value) and unsure[-1] else self.shell.decided(value) if decides else value

        def write(name: str, value: str) -> None:
            base, bracket, key = name.partition("[")
            self.shell.set(base, "".join(unsure)[:1] or value, int(self.computed(key[:-1], start)) if bracket else None)

        if unsure[0]:
            for name in assigned(text):
                self.shell.set(name, unsure[0])
            return unsure[0]
        value = evaluate(self.shell.decided(text) if decides else text, Variables(read, write))
        return "".join(unsure)[:1] or str(value)

    @property
    def separators(self) -> str:
        """IFS."""
        value = self.shell.get("IFS").value
        if isinstance(value, str) and first_letter(value):
            raise ValueError("IFS is not known here: write it")
        return value if isinstance(value, str) else " \t\n"

    def pieces(self, start: int, end: int, *, quoted: bool = False, assigned: bool = False, escapes: str = '$`"\\') -> list[Piece]:
        """A word; `quoted` is one inside double quotes, where a backslash stands before `escapes` alone."""
        pieces: list[Piece] = []
        place, text = start, self.source.text
        while place < end:
            letter, following = text[place : place + 1], text[place + 1 : place + 2]
            if letter == "\\" and (not quoted or following in (*escapes, "\n")):
                found, place = [Piece(following, "quoted")] if following != "\n" else [], place + 2
            elif (letter == '"' and (not quoted or '"' in escapes)) or (not quoted and letter + following == '$"'):
                found, place = self._quoted(place + (letter == "$"))
            elif not quoted and (letter == "'" or letter + following == "$'"):
                after = self.source.skipped(place)
                raw = (
                    text[place + 1 : after - 1] if letter == "'" else re.sub(r"\\(.?)", _ansi, text[place + 2 : after - 1], flags=re.DOTALL)
                )
                found, place = [Piece(raw, "quoted")], after
            elif letter in "$`" or (not quoted and letter in "<>"):
                found, place = self._dollar(place, quoted=quoted)
            elif not quoted and letter == "~" and self._is_home(start, place, end, assigned=assigned):
                found, place = [Piece(self.look_up("HOME", self.source.place(place)).values[0], "quoted")], place + 1
            else:
                found, place = [Piece(letter, "quoted" if quoted else "literal")], place + 1
            pieces += found
        return pieces

    def _is_home(self, start: int, place: int, end: int, *, assigned: bool) -> bool:
        begins = place == start or (assigned and self.source.text[place - 1] == ":")
        return begins and re.match("[/:]|$", self.source.text[place + 1 : end]) is not None

    def _quoted(self, place: int) -> tuple[list[Piece], int]:
        """A text in double quotes, which begins here; a list such as "$@" may be of no words at all."""
        close = self.source.closing('"', place + 1, quoted=True)
        pieces = [replace(piece, origin="quoted") if piece is not END else END for piece in self.pieces(place + 1, close, quoted=True)]
        has_list = re.search(r"\$\{?(@|\w+\[@\])", self.source.text[place:close])
        return pieces or ([] if has_list else [Piece("", "quoted")]), close + 1

    def _dollar(self, place: int, *, quoted: bool) -> tuple[list[Piece], int]:
        """What a variable, an expression or `$(...)` stands for; literal if the sign is only a sign."""
        text = self.source.text
        origin: Origin = "quoted" if quoted else "expanded"
        if (inner := self.source.inner.get(place)) is not None:
            return [Piece(self._inner(inner), origin)], inner.end
        if text[place] == "`":
            end = self.source.skipped(place, quoted=quoted)
            inside = parse("$(" + re.sub(r"\\([\\`$])", r"\1", text[place + 1 : end - 1]) + ")", inside=self.source.place(place))
            return [Piece(self.substitute(inside, inside.inner[0], self.shell), origin)], end
        if text.startswith(("$(", "<", ">"), place):
            raise ValueError(f"simplify {text[place : place + 40]}")
        if text.startswith("${", place):
            close = self.source.closing("}", place + 2, quoted=quoted)
            return self._braced(place + 2, close, quoted=quoted), close + 1
        match = _NAME.match(text, place + 1)
        if match is None:
            return [Piece("$", "quoted" if quoted else "literal")], place + 1
        return self._shown(self.look_up(match[0], self.source.place(place)), quoted=quoted), match.end()

    def _inner(self, node: Node) -> str:
        text = self.source.of(node)
        if node.kind == "arithmetic_expansion" or (text.startswith("$((") and text.endswith("))")):  # in here-documents the grammar errs
            begin = 2 if text.startswith("$[") else 3
            return self.arithmetic(node.start + begin, node.end - (begin - 1))
        if node.kind == "process_substitution":
            place = self.source.place(node.start)
            return self.shell.unknown(f"{text} ({place}) is a file that a run makes: write the file's name in its place")
        return self.substitute(self.source, node, self.shell)

    def _shown(self, parameter: Parameter, *, quoted: bool) -> list[Piece]:
        """The pieces of a variable's value; of a list its elements."""
        origin: Origin = "quoted" if quoted else "expanded"
        if quoted and parameter.kind == "joined":
            return [Piece(self.separators[:1].join(parameter.values), origin)]
        return [piece for value in parameter.values for piece in (END, Piece(value, origin))][1:]

    def _braced(self, start: int, end: int, *, quoted: bool) -> list[Piece]:
        """The inside of `${...}`."""
        text, place = self.source.text, self.source.place(start)
        strange = ValueError(f"write the value in place of ${{{text[start:end]}}}")
        match = _BRACED.match(text, start, end)
        if match is None:
            raise strange
        name, sign, after, key = match["name"], match["sign"] or "", match.end(), None
        if text[after : after + 1] == "[" and after < end:
            close = self.source.closing("]", after + 1)
            key, after = self._key(name, after + 1, close), close + 1
        operator = _OPERATOR.match(text, after, end)
        if after < end and (operator is None or sign == "#" or (sign == "!" and text[after:end] in ("*", "@"))):
            raise strange
        parameter = self.look_up(name, place, key=key, sign=sign)
        if operator is None:
            return self._shown(parameter, quoted=quoted)
        rest = (operator.end(), end)
        if operator[0].strip(":") in ("-", "=", "?", "+") and operator[0] != ":":
            return self._or_default(parameter, operator[0], rest, name=name, key=key, quoted=quoted)
        return self._shown(self._operated(parameter, operator[0], rest, name), quoted=quoted)

    def _key(self, name: str, start: int, end: int) -> str:
        """The index of an element: a number, or a name."""
        text = self.source.text[start:end]
        if text in ("@", "*"):
            return text
        return joined(self.pieces(start, end)) if self.shell.get(name).is_named else self.arithmetic(start, end)

    def _or_default(self, parameter: Parameter, sign: str, rest: Span, *, name: str, key: str | None, quoted: bool) -> list[Piece]:
        """`${x:-word}` and its kin; `rest` is where the word stands."""
        state = self.presence(parameter, colon=sign[0] == ":")
        if isinstance(state, str):
            return [Piece(state, "quoted" if quoted else "expanded")]
        if state != (sign[-1] == "+"):
            return self._shown(parameter, quoted=quoted) if state else []
        if sign[-1] == "?":
            raise ValueError(f"the script stops where {name} is not set: {name}=VALUE lmm-r1-mega migrate ...")
        if sign[-1] == "=":
            if key is not None or not name.isidentifier():
                raise ValueError(f"write {name}=VALUE on a line of its own")
            self.shell.set(name, joined(self._default(rest, quoted=False)))
            return self._shown(self.look_up(name, self.source.place(rest[0])), quoted=quoted)
        return self._default(rest, quoted=quoted)

    def _operated(self, parameter: Parameter, sign: str, rest: Span, name: str) -> Parameter:
        """A value after an operator that changes it."""
        if sign == ":":
            middle = self.source.text.find(":", *rest) if ":" in self.source.text[slice(*rest)] else rest[1]
            size = self.arithmetic(middle + 1, rest[1]) if middle < rest[1] else None
            return self.part(name, parameter, self.arithmetic(rest[0], middle), size)
        if sign[0] == "/":
            middle = self.source.closing("/", rest[0] + (self.source.text[rest[0]] == "/"), rest[1])
            put = self.pattern(middle + 1, rest[1]) if middle < rest[1] else ""
            return self.replaced(parameter, sign, self.pattern(rest[0], middle), put)
        return self.changed(parameter, sign, self.pattern(*rest))

    def _default(self, rest: Span, *, quoted: bool) -> list[Piece]:
        """The word of `${x:-word}`; outside of quotes it is split as a value is."""
        if quoted:
            return self.pieces(*rest, quoted=True, escapes='$`"\\}')
        return [Piece(piece.text, "expanded") if piece.origin == "literal" else piece for piece in self.pieces(*rest)]

    def _with_files(self, word: Word, start: int) -> Word:
        """Names of files stand for a pattern of them, and which ones is not known."""
        if not word.is_file_pattern or "noglob" in self.shell.options or re.match(r"\w+=", word.text):  # no file has such a name
            return word
        where = self.source.place(start)
        reason = (
            f"{readable(word.text)} ({where}) is a pattern, for which bash puts the files that match: put quotes around it, or write them"
        )
        return Word(as_split(self.shell.unknown(reason)), "")


def _ansi(match: re.Match[str]) -> str:
    if match[1] not in _ANSI:
        raise ValueError(f"$'...' has the escape {match[0]}: write the letter")
    return _ANSI[match[1]]
