"""Words as bash expands them: quotes, variables with their operators, arithmetic, `$(...)`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from lmm_r1_mega.migration.bash import words
from lmm_r1_mega.migration.bash.arithmetic import ASSIGNMENT, evaluate
from lmm_r1_mega.migration.bash.state import Shell
from lmm_r1_mega.migration.bash.tree import Node, Source, Span, parse
from lmm_r1_mega.migration.bash.unknown import as_split, first_letter, is_split, readable
from lmm_r1_mega.migration.bash.words import END, Piece, Word, WordOrigin, as_pattern, joined

_PARAMETER = re.compile(r"(?P<sign>[!#](?=[\w@*]))?(?P<name>[A-Za-z_]\w*|[0-9]+|[@*#?$!-])", re.ASCII)
_OPERATOR = re.compile(r":?[-=?+]|##?|%%?|//|/[#%]?|\^\^?|,,?|:(?!$)")
_ANSI = {r"\n": "\n", r"\t": "\t", r"\\": "\\", r"\'": "'", r"\"": '"'}


@dataclass(frozen=True)
class Parameter:
    """A value, or a list of them."""

    values: tuple[str, ...]
    kind: Literal["text", "list", "joined"] = "text"
    """`joined` is the list of `*`, one text inside quotes."""
    is_set: bool = True


@dataclass
class Expander:
    """Expands the words of one text with what a shell knows."""

    shell: Shell
    source: Source
    substitute: Callable[[Source, Node, Shell], str]
    """What the commands inside `$(...)` print."""

    def fields(self, start: int, end: int) -> list[Word]:
        """The words that one word becomes."""
        pieces, position = self.pieces(start, end), self.source.position(start)
        if words.has_braces(pieces):
            return [self._unread(f"{self.source.text[start:end]} ({position}) has braces: write its words")]
        fields = words.split(pieces, self.separators)
        for number, word in enumerate(fields):
            if re.search(r"[*?]|\[.*\]", word.bare, re.DOTALL) and not re.match(r"\w+=", word.text):  # no file has such a name
                why = "is a pattern, for which bash puts the files that match: put quotes around it, or write them"
                fields[number] = self._unread(f"{readable(word.text)} ({position}) {why}")
        return fields

    def _unread(self, reason: str) -> Word:
        return Word(as_split(self.shell.unknown(reason)), "")

    def text(self, start: int, end: int) -> str:
        """One text, as in an assignment: nothing is split."""
        return joined(self.pieces(start, end, assigned=True))

    def here_text(self, start: int, end: int) -> str:
        """The lines of a here-document."""
        return joined(self.pieces(start, end, quoted=True, escapes="$`\\"))

    def decided(self, start: int, end: int) -> list[Piece]:
        """A word that a decision depends on: variables that are not set are empty."""
        return [Piece(self.shell.decided(piece.text), piece.origin) for piece in self.pieces(start, end)]

    @property
    def separators(self) -> str:
        """IFS."""
        value = self.shell.get("IFS").value
        if isinstance(value, str) and first_letter(value):
            raise ValueError("IFS is not known here: write it")
        return value if isinstance(value, str) else " \t\n"

    def arithmetic(self, start: int, end: int, *, decides: bool = False) -> str:
        """The value of an expression, which may set one variable; if a decision depends on it, variables that are not set are 0.

        Example: "N * 2" with N = 3 -> "6"; "N += 2" -> "5", and N is 5; "N++" -> "3", and N is 4
        """
        text, known = joined(self.pieces(start, end, quoted=True)).replace('"', ""), self.shell.decided if decides else str
        unsure = ""

        def read(name: str) -> str:
            nonlocal unsure
            value = known(self.look_up(name, start).values[0])
            unsure = unsure or first_letter(value)
            return "1" if first_letter(value) else value

        text = known(text)
        match, unsure = ASSIGNMENT.fullmatch(text), first_letter(text)
        expression = text if match is None else f"{match[1]} {match[2]} ({match[3]})" if match[2] else match[1] if match[4] else match[3]
        number = 0 if unsure else evaluate(expression, read)
        if match is not None:
            step = (1 if match[4] == "++" else -1) if match[4] else 0
            self.shell.set(match[1], unsure or str(number + step))
        return unsure or str(number)

    def pieces(self, start: int, end: int, *, quoted: bool = False, assigned: bool = False, escapes: str = '$`"\\') -> list[Piece]:
        """A word; `quoted` is one inside double quotes, where a backslash stands before `escapes` alone."""
        pieces: list[Piece] = []
        index, text = start, self.source.text
        while index < end:
            letter, following = text[index], text[index + 1 : index + 2]
            if letter == "\\" and (not quoted or following in (*escapes, "\n")):
                new, index = [Piece(following, "quoted")] if following != "\n" else [], index + 2
            elif letter == '"' and (not quoted or '"' in escapes):
                new, index = self._quoted(index)
            elif not quoted and (letter == "'" or letter + following == "$'"):
                new, index = [Piece(self._single_quoted(index), "quoted")], self.source.skip(index)
            elif letter in "$`" or (not quoted and letter in "<>"):
                new, index = self._dollar(index, quoted=quoted)
            elif letter == "~" and not quoted and self._is_home(start, index, end, assigned=assigned):
                new, index = [Piece(self.look_up("HOME", index).values[0], "quoted")], index + 1
            else:
                new, index = [Piece(letter, "quoted" if quoted else "literal")], index + 1
            pieces += new
        return pieces

    def _is_home(self, start: int, index: int, end: int, *, assigned: bool) -> bool:
        before, text = self.source.text[start:index], self.source.text
        begins = re.fullmatch(r"([A-Za-z_]\w*=)?", before) or (assigned and before.endswith(":"))
        return begins is not False and begins is not None and (index + 1 == end or text[index + 1] in "/:")

    def _single_quoted(self, index: int) -> str:
        """What stands in `'...'` or `$'...'`."""
        inside = self.source.text[self.source.text.index("'", index) + 1 : self.source.skip(index) - 1]
        if self.source.text[index] == "'":
            return inside
        if unread := re.search(r"\\[^nt\\'\"]", inside):
            raise ValueError(f"$'...' has the escape {unread[0]}: write the letter")
        return re.sub(r"(?s)\\.", lambda match: _ANSI[match[0]], inside)

    def _quoted(self, index: int) -> tuple[list[Piece], int]:
        """A text in double quotes, which begins here; a list such as "$@" may be of no words at all."""
        close = self.source.closing('"', index + 1, quoted=True)
        pieces = [replace(piece, origin="quoted") if piece is not END else END for piece in self.pieces(index + 1, close, quoted=True)]
        has_list = re.search(r"\$\{?!?(@|\w+\[@\])", self.source.text[index:close])
        return pieces or ([] if has_list else [Piece("", "quoted")]), close + 1

    def _dollar(self, index: int, *, quoted: bool) -> tuple[list[Piece], int]:
        """What a variable, an expression or `$(...)` stands for; literal if the sign is only a sign."""
        source, text = self.source, self.source.text
        origin: WordOrigin = "quoted" if quoted else "expanded"
        if (node := source.inner.get(index)) is not None:
            return [Piece(self._inner(node), origin)], node.end_byte
        if text[index] == "`":
            end = source.skip(index, quoted=quoted)
            inside = parse("$(" + re.sub(r"\\([\\`$])", r"\1", text[index + 1 : end - 1]) + ")", inside=source.position(index))
            return [Piece(self.substitute(inside, inside.inner[0], self.shell), origin)], end
        if text.startswith(("$(", "<", ">"), index) or (text.startswith('$"', index) and not quoted):
            raise ValueError(f"simplify {text[index : index + 40]}")
        if text.startswith("${", index):
            close = source.closing("}", index + 2, quoted=quoted)
            return self._braced(index + 2, close, quoted=quoted), close + 1
        match = re.compile(r"[A-Za-z_]\w*|[0-9@*#?$!-]", re.ASCII).match(text, index + 1)
        if match is None:
            return [Piece("$", "quoted" if quoted else "literal")], index + 1
        return self._shown(self.look_up(match[0], index), quoted=quoted), match.end()

    def _inner(self, node: Node) -> str:
        text, position = self.source.of(node), self.source.position(node.start_byte)
        if text.startswith("$((") and text.endswith("))"):  # in here-documents the grammar takes it for a command
            return self.arithmetic(node.start_byte + 3, node.end_byte - 2)
        if node.type == "process_substitution":
            return self.shell.unknown(f"{text} ({position}) is a file that a run makes: write the file's name in its place")
        if node.type != "command_substitution":
            raise ValueError(f"simplify {text}")
        return self.substitute(self.source, node, self.shell)

    def _shown(self, parameter: Parameter, *, quoted: bool) -> list[Piece]:
        """The pieces of a variable's value; of a list its elements."""
        values = parameter.values
        if quoted and parameter.kind == "joined":
            values = (self.separators[:1].join(values),)
        return [piece for value in values for piece in (END, Piece(value, "quoted" if quoted else "expanded"))][1:]

    def _braced(self, start: int, end: int, *, quoted: bool) -> list[Piece]:
        """The inside of `${...}`."""
        text = self.source.text
        unread = ValueError(f"write the value in place of ${{{text[start:end]}}}")
        match = _PARAMETER.match(text, start, end)
        if match is None:
            raise unread
        name, sign, after, key = match["name"], match["sign"] or "", match.end(), None
        if text[after] == "[" and after < end:
            close = self.source.closing("]", after + 1)
            key, after = self._key(name, after + 1, close), close + 1
        operator = _OPERATOR.match(text, after, end)
        if (after < end and (operator is None or sign)) or (sign == "!" and key not in ("@", "*")):
            raise unread
        parameter = self.look_up(name, start, key=key, sign=sign)
        if operator is None:
            return self._shown(parameter, quoted=quoted)
        rest = (operator.end(), end)
        if operator[0] != ":" and operator[0][-1] in "-=?+":
            return self._or_default(parameter, operator[0], rest, name=name if key is None else f"{name}[{key}]", quoted=quoted)
        return self._shown(self._operated(parameter, operator[0], rest, name), quoted=quoted)

    def _key(self, name: str, start: int, end: int) -> str:
        """The index of an element: a number, or a name."""
        text = self.source.text[start:end]
        if text in ("@", "*"):
            return text
        return joined(self.pieces(start, end)) if self.shell.get(name).is_named else self.arithmetic(start, end)

    def look_up(self, name: str, index: int, *, key: str | None = None, sign: str = "") -> Parameter:
        """A variable, an argument of the script or a special one; `sign` is that of `${#x}` or `${!x[@]}`."""
        shell, position, variable = self.shell, self.source.position(index), self.shell.get(name)
        elements = variable.elements
        if name in "@*#":
            elements, key, sign = dict(enumerate(shell.arguments)), name.replace("#", "@"), name.strip("@*") or sign
        elif name.isdigit():
            elements, key = dict(enumerate((shell.script, *shell.arguments))), name
        is_list, unsure = key in ("@", "*"), first_letter(key or "")
        if isinstance(variable.value, str) and key not in (None, "0"):
            unsure = unsure or first_letter(variable.value)  # perhaps it is a list
        if not unsure and not variable.is_named and key is not None and (not is_list or sign):
            unsure = next((text for number, text in elements.items() if is_split(text) and (is_list or int(number) <= int(key))), "")
        if variable.is_named and is_list and len(elements) > 1 and sign != "#":
            unsure = shell.unknown(f"the order of {name} ({position}) is bash's own: write its elements one by one")
        if unsure:
            return Parameter((as_split(first_letter(unsure)),))
        if is_list and (elements or not shell.is_open):
            values = tuple(map(str, elements)) if sign == "!" else tuple(elements.values())
            return Parameter((str(len(values)),)) if sign == "#" else Parameter(values, "list" if key == "@" else "joined", bool(values))
        number = (key or "0") if variable.is_named or is_list else int(key or 0)
        if isinstance(number, int) and number < 0:
            raise ValueError("count the elements from the first one on")
        value, is_set = (elements[number], True) if number in elements else shell.missing(name, position)
        if sign != "#":
            return Parameter((value,), is_set=is_set)
        value = value if is_set else shell.decided(value)
        return Parameter((first_letter(value) or str(len(value)),))

    def _or_default(self, parameter: Parameter, sign: str, rest: Span, *, name: str, quoted: bool) -> list[Piece]:
        """`${x:-word}` and its kin; `rest` is where the word stands."""
        is_present = self._is_present(parameter, colon=sign[0] == ":")
        if isinstance(is_present, str):
            return [Piece(is_present, "quoted" if quoted else "expanded")]
        if is_present != (sign[-1] == "+"):
            return self._shown(parameter, quoted=quoted) if is_present else []
        if sign[-1] == "?":
            raise ValueError(f"the script stops if {name} is not set: {name}=VALUE lmm-r1-mega migrate ...")
        if sign[-1] == "=" and not name.isidentifier():
            raise ValueError(f"write {name}=VALUE on a line of its own")
        if sign[-1] == "=":
            self.shell.set(name, joined(self._default(rest, quoted=False)))
            return self._shown(self.look_up(name, rest[0]), quoted=quoted)
        return self._default(rest, quoted=quoted)

    def _is_present(self, parameter: Parameter, *, colon: bool) -> bool | str:
        """Whether it is set (and with a colon: not empty), or the letter of why nobody knows."""
        if not parameter.is_set and self.shell.is_open:
            return self.shell.unknowns.letter(self.shell.is_open)
        rest = self.shell.decided(" ".join(parameter.values))
        if not parameter.is_set or not colon:
            return parameter.is_set and bool(parameter.values)
        letter = first_letter(rest)
        return letter if letter and not rest.replace(letter, "").strip() else bool(rest)

    def _default(self, rest: Span, *, quoted: bool) -> list[Piece]:
        """The word of `${x:-word}`; outside of quotes it is split as a value is."""
        if quoted:
            return self.pieces(*rest, quoted=True, escapes='$`"\\}')
        return [Piece(piece.text, "expanded") if piece.origin == "literal" else piece for piece in self.pieces(*rest)]

    def _operated(self, parameter: Parameter, sign: str, rest: Span, name: str) -> Parameter:
        """A value after an operator that changes it."""
        if sign == ":":
            return self._part(parameter, rest, name)
        middle = self.source.closing("/", rest[0] + (self.source.text[rest[0]] == "/"), rest[1]) if sign[0] == "/" else rest[1]
        pattern, new = as_pattern(self.pieces(rest[0], middle)), joined(self.pieces(middle + 1, rest[1]))
        case = str.upper if sign[0] == "^" else str.lower
        change: Callable[[str], str] = {
            "/": lambda text: words.replace(text, sign, pattern, new),
            "#": lambda text: words.strip(text, sign, pattern),
            "%": lambda text: words.strip(text, sign, pattern),
        }.get(sign[0], case if len(sign) == 2 else lambda text: case(text[:1]) + text[1:])
        if "&" in new:
            raise ValueError("versions of bash differ in what & means behind the second /: write the value")
        if pattern and sign[0] in "^,":
            raise ValueError("write the value in its place")
        unsure = first_letter(pattern + new)
        return replace(parameter, values=tuple(unsure or first_letter(value) or change(value) for value in parameter.values))

    def _part(self, parameter: Parameter, rest: Span, name: str) -> Parameter:
        """`${x:start:size}` of a text or of a list; the arguments begin with the script's own name."""
        colon = self.source.text.find(":", *rest)
        start = self.arithmetic(rest[0], colon if colon >= 0 else rest[1])
        size = self.arithmetic(colon + 1, rest[1]) if colon >= 0 else ""
        values = (self.shell.script, *parameter.values) if name in "@*" else parameter.values
        is_text = parameter.kind == "text"
        if unsure := first_letter(start + size + "".join(value for value in values if is_text or is_split(value))):
            return Parameter((unsure if is_text else as_split(unsure),))
        length = len(values[0] if is_text else values)
        first = int(start) + (length if int(start) < 0 else 0)
        last = first + int(size) if size else max(first, length)
        if first < 0 or last < first:
            raise ValueError("write the value in its place")
        return replace(parameter, values=(values[0][first:last],) if is_text else values[first:last])
