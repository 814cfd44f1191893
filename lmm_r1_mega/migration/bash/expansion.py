"""Words as bash expands them: quotes, variables with all their operators, arithmetic, `$(...)`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from lmm_r1_mega.migration.bash.arithmetic import Variables, evaluate
from lmm_r1_mega.migration.bash.parameters import Parameter, Parameters
from lmm_r1_mega.migration.bash.scan import Scanner, Span, Unreadable, counters
from lmm_r1_mega.migration.bash.state import Shell
from lmm_r1_mega.migration.bash.tree import Node, Source, parse
from lmm_r1_mega.migration.bash.unknown import as_split, first_letter
from lmm_r1_mega.migration.bash.words import END, Piece, Word, as_pattern, joined, split, with_braces

Substitute = Callable[[Source, Node, Shell], str]
"""What the commands inside `$(...)` print."""

BLANK = " \t\n"
_NAME = re.compile(r"[A-Za-z_]\w*|[0-9@*#?$!-]")
_BRACED = re.compile(r"(?P<sign>[!#](?=[\w@*]))?(?P<name>[A-Za-z_]\w*|[0-9]+|[@*#?$!-])")
_OPERATOR = re.compile(r":?[-=?+]|##?|%%?|//?[#%]?|\^\^?|,,?|@|:")
_ANSI = {"n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"', "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "r": "\r", "v": "\v"}


@dataclass
class Expander:
    """Expands the words of one text with what a shell knows."""

    source: Source
    shell: Shell
    substitute: Substitute

    @property
    def scanner(self) -> Scanner:
        """Finds the ends of words."""
        return Scanner(self.source)

    def fields(self, start: int, end: int) -> list[Word]:
        """The words that one word becomes."""
        found: list[Word] = []
        for pieces in with_braces(self.pieces(start, end)):
            found += split(pieces, self.separators)
        return [self._with_files(word, start) for word in found]

    def text(self, start: int, end: int) -> str:
        """One text, as in an assignment: nothing is split."""
        return joined(self.pieces(start, end, assigned=True))

    def pattern(self, start: int, end: int) -> str:
        """A pattern: what is quoted in it stands for itself."""
        return as_pattern(self.pieces(start, end))

    def here_text(self, start: int, end: int) -> str:
        """The lines of a here-document."""
        return joined(self._double(start, end, escapes="$`\\")[0])

    def arithmetic(self, start: int, end: int) -> str:
        """The value of an expression, as text."""
        text = joined(self._double(start, end, escapes='$`"\\')[0]).replace('"', "")
        return self.computed(text, start)

    def computed(self, text: str, start: int) -> str:
        """The value of an arithmetic text."""
        known = _Arithmetic(self.shell, self.source.place(start))
        value = ""
        try:
            if not first_letter(text):
                value = str(evaluate(text, Variables(known.read, known.write)))
        except ValueError as error:
            raise Unreadable(f"{self.source.place(start)}: {error}") from None
        letter = first_letter(text) or known.unknown
        for name in counters(text) if letter else ():
            self.shell.set(name, letter)
        return letter or value

    @property
    def separators(self) -> str:
        """IFS."""
        value = self.shell.get("IFS").value
        return value if isinstance(value, str) else BLANK

    def pieces(self, start: int, end: int, *, assigned: bool = False) -> list[Piece]:
        """A word outside of double quotes."""
        pieces: list[Piece] = []
        place = start
        while place < end:
            letter = self.source.text[place]
            if letter == "~" and (place == start or (assigned and self.source.text[place - 1] == ":")):
                found, place = self._home(place, end)
            elif letter == "\\":
                found = (
                    [] if self.source.text[place + 1 : place + 2] == "\n" else [Piece(self.source.text[place + 1 : place + 2], "quoted")]
                )
                place += 2
            elif letter in "'\"$`<>":
                found, place = self._special(place, end)
            else:
                found, place = [Piece(letter, "literal")], place + 1
            pieces += found
        return pieces

    def _special(self, place: int, end: int) -> tuple[list[Piece], int]:
        text = self.source.text
        if text[place] == "'":
            close = text.index("'", place + 1)
            return [Piece(text[place + 1 : close], "quoted")], close + 1
        if text[place] == '"':
            return self._quoted(place)
        if text.startswith("$'", place):
            close = self.scanner.closing_ansi(place)
            return [Piece(self._ansi(text[place + 2 : close], place), "quoted")], close + 1
        if text.startswith('$"', place):
            return self._quoted(place + 1)
        if text[place] in "<>" and place not in self.source.inner:
            raise Unreadable(f"{self.source.place(place)}: {text[place:end]} is not read here as bash has it: put it on a line of its own")
        return self._dollar(place, quoted=False)

    def _ansi(self, text: str, place: int) -> str:
        """What stands inside $'...'."""
        result, rest = "", text
        while rest:
            if rest[0] != "\\":
                result, rest = result + rest[0], rest[1:]
                continue
            if rest[1:2] not in _ANSI:
                raise Unreadable(f"{self.source.place(place)}: $'{text}' has an escape that is not read here: write the letter")
            result, rest = result + _ANSI[rest[1]], rest[2:]
        return result

    def _quoted(self, place: int) -> tuple[list[Piece], int]:
        """A text in double quotes, which begins here."""
        close = self.scanner.closing_quote(place)
        pieces, has_list = self._double(place + 1, close, escapes='$`"\\')
        quoted = [piece if piece is END else Piece(piece.text, "quoted") for piece in pieces]
        return quoted or ([] if has_list else [Piece("", "quoted")]), close + 1

    def _double(self, start: int, end: int, *, escapes: str) -> tuple[list[Piece], bool]:
        """A text inside double quotes, and whether it has a list such as "$@", which may be of no words at all."""
        pieces: list[Piece] = []
        place, has_list, text = start, False, self.source.text
        while place < end:
            if text[place] == "\\" and text[place + 1 : place + 2] in (*escapes, "\n"):
                pieces += [Piece(text[place + 1].strip("\n"), "quoted")]
                place += 2
            elif text[place] in "$`" and (text[place] == "`" or text[place + 1 : place + 2] not in ("'", '"')):
                found, after = self._dollar(place, quoted=True)
                has_list = has_list or re.match(r"\$\{?(@|[A-Za-z_]\w*\[@\])", text[place:after]) is not None
                pieces += found
                place = after
            elif text[place] == '"' and '"' in escapes:
                found, place = self._quoted(place)
                pieces += found
            else:
                pieces += [Piece(text[place], "quoted")]
                place += 1
        return pieces, has_list

    def _dollar(self, place: int, *, quoted: bool) -> tuple[list[Piece], int]:
        """What a variable, an expression or `$(...)` stands for; literal if the sign is only a sign."""
        text, origin = self.source.text, "quoted" if quoted else "expanded"
        if (inner := self.source.inner.get(place)) is not None:
            return [Piece(self._inner(inner), origin)], inner.end  # type: ignore[arg-type]
        if text[place] == "`":
            end = self.scanner.skipped(place, quoted=quoted)
            inner_text = re.sub(r"\\([\\`$])", r"\1", text[place + 1 : end - 1])
            inside = parse(f"$({inner_text})", inside=self.source.place(place))
            return [Piece(self.substitute(inside, inside.inner[0], self.shell), origin)], end  # type: ignore[arg-type]
        if text.startswith("$(", place):
            raise Unreadable(f"{self.source.place(place)}: {text[place : place + 40]!r} is not read here as bash has it: simplify it")
        if text.startswith("${", place):
            close = self.scanner.closing_brace(place, quoted=quoted)
            return self._braced(place + 2, close, quoted=quoted), close + 1
        match = _NAME.match(text, place + 1)
        if match is None:
            return [Piece("$", "quoted" if quoted else "literal")], place + 1
        parameter = self._parameters.look_up(match[0], self.source.place(place))
        return self.shown(parameter, quoted=quoted), match.end()

    def _inner(self, node: Node) -> str:
        text = self.source.of(node)
        if node.kind == "arithmetic_expansion" or (text.startswith("$((") and text.endswith("))")):  # in here-documents the grammar errs
            begin = 2 if text.startswith("$[") else 3
            return self.arithmetic(node.start + begin, node.end - (begin - 1))
        if node.kind == "process_substitution":
            return self.shell.unknown(
                f"{text} ({self.source.place(node.start)}) is a file that a run makes: write the file's name in its place"
            )
        return self.substitute(self.source, node, self.shell)

    @property
    def _parameters(self) -> Parameters:
        return Parameters(self.shell)

    def shown(self, parameter: Parameter, *, quoted: bool) -> list[Piece]:
        """The pieces of a variable's value; of a list its elements."""
        if quoted and parameter.kind == "joined":
            return [Piece(self.separators[:1].join(parameter.values), "quoted")]
        pieces: list[Piece] = []
        for number, value in enumerate(parameter.values):
            pieces += [END] if number else []
            pieces.append(Piece(value, "quoted" if quoted else "expanded"))
        return pieces

    def _braced(self, start: int, end: int, *, quoted: bool) -> list[Piece]:
        """The inside of `${...}`."""
        text, place = self.source.text, self.source.place(start)
        match = _BRACED.match(text, start, end)
        whole = f"${{{text[start:end]}}}"
        if match is None:
            raise Unreadable(f"{place}: {whole} is not read here: write its value in its place")
        after, key = match.end(), None
        if text[after : after + 1] == "[" and after < end:
            close = self.scanner.closing_bracket(after)
            key, after = self._key(match["name"], after + 1, close), close + 1
        sign = match["sign"] or ""
        if sign == "!" and text[after:end] == "*":
            raise Unreadable(f"{place}: {whole} is not read here: name the variables")
        parameter = self._parameters.look_up(match["name"], place, key=key, sign=sign)
        if after == end:
            return self.shown(parameter, quoted=quoted)
        operator = _OPERATOR.match(text, after, end)
        if operator is None or sign == "#":
            raise Unreadable(f"{place}: {whole} is not read here: write its value in its place")
        name = f"{match['name']}[{key}]" if key is not None else match["name"]
        return self._operated(parameter, operator[0], (operator.end(), end), name=name, quoted=quoted)

    def _key(self, name: str, start: int, end: int) -> str:
        """The index of an element: a number, or a name."""
        text = self.source.text[start:end]
        if text in ("@", "*"):
            return text
        if self.shell.get(name).is_named:
            return joined(self.pieces(start, end))
        return self.arithmetic(start, end)

    def _operated(self, parameter: Parameter, sign: str, rest: Span, *, name: str, quoted: bool) -> list[Piece]:
        """A variable after one of bash's operators; `rest` is where its words stand."""
        place = self.source.place(rest[0])
        if sign.strip(":") in ("-", "=", "?", "+") and sign != ":":
            state = self._parameters.presence(parameter, colon=sign[0] == ":")
            if isinstance(state, str):
                return [Piece(state, "quoted" if quoted else "expanded")]
            if sign[-1] == "+":
                return self._default(rest, quoted=quoted) if state else []
            if state:
                return self.shown(parameter, quoted=quoted)
            if sign[-1] == "?":
                raise Unreadable(f"{place}: the script stops where {name} is not set: {name}=VALUE lmm-r1-mega migrate ...")
            if sign[-1] == "=":
                self.shell.set(name, joined(self._default(rest, quoted=False)))
                return self.shown(self._parameters.look_up(name, place), quoted=quoted)
            return self._default(rest, quoted=quoted)
        if sign == ":":
            changed = self._parameters.part(name, parameter, *self._bounds(rest))
        elif sign[0] == "/":
            middle = self.scanner.find("/", rest[0] + (self.source.text[rest[0]] == "/"), rest[1])
            put = self.pattern(middle + 1, rest[1]) if middle < rest[1] else ""
            changed = self._parameters.replaced(parameter, sign, self.pattern(rest[0], middle), put, place=place)
        else:
            changed = self._parameters.changed(parameter, sign, self.pattern(*rest), place=place)
        return self.shown(changed, quoted=quoted)

    def _default(self, rest: Span, *, quoted: bool) -> list[Piece]:
        """The word of `${x:-word}`; outside of quotes it is split as a value is."""
        if quoted:
            return self._double(*rest, escapes='$`"\\}')[0]
        pieces = self.pieces(*rest)
        return [Piece(piece.text, "expanded") if piece.origin == "literal" else piece for piece in pieces]

    def _bounds(self, rest: Span) -> tuple[str, str | None]:
        """Start and length of `${x:1:2}`."""
        colon = self.source.text.find(":", *rest)
        middle = colon if colon >= 0 else rest[1]
        return self.arithmetic(rest[0], middle), self.arithmetic(middle + 1, rest[1]) if middle < rest[1] else None

    def _home(self, place: int, end: int) -> tuple[list[Piece], int]:
        """`~`, which stands for the home folder if nothing but a path follows."""
        match = re.compile(r"~(?=[/:]|$)").match(self.source.text[:end], place)
        if match is None:
            return [Piece("~", "literal")], place + 1
        home = self._parameters.look_up("HOME", self.source.place(place))
        return [Piece(home.values[0], "quoted")], place + 1

    def _with_files(self, word: Word, start: int) -> Word:
        """Names of files stand for a pattern of them, and which ones is not known."""
        if not word.is_file_pattern or "noglob" in self.shell.options or re.match(r"\w+=", word.text):  # no file has such a name
            return word
        where = self.source.place(start)
        reason = f"{word.text} ({where}) is a pattern, for which bash puts the files that match: put quotes around it, or write them"
        return Word(as_split(self.shell.unknown(reason)), "")


@dataclass
class _Arithmetic:
    """Variables of an expression; the first unknown one makes its value unknown."""

    shell: Shell
    place: str
    unknown: str = ""

    def read(self, name: str) -> str:
        base, _, key = name.partition("[")
        value = Parameters(self.shell).look_up(base, self.place, key=key[:-1] or None if key else None).values
        text = value[0] if value else ""
        if (letter := first_letter(text)) and not self.unknown:
            self.unknown = letter
        return "1" if letter else text

    def write(self, name: str, value: str) -> None:
        self.shell.set(name, self.unknown or value)
