"""Commands with their words: assignments, redirections, arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lmm_r1_mega.migration.bash.conditions import Truth
from lmm_r1_mega.migration.bash.expansion import Expander
from lmm_r1_mega.migration.bash.interpreter import MOST_COMMANDS, UNSEEN, Found, Interpreter
from lmm_r1_mega.migration.bash.programs import Program, carried_script, inner_script
from lmm_r1_mega.migration.bash.reading import raw_words, short
from lmm_r1_mega.migration.bash.scan import Span, Unreadable
from lmm_r1_mega.migration.bash.state import Shell, Variable
from lmm_r1_mega.migration.bash.tree import Node, Source
from lmm_r1_mega.migration.bash.unknown import Unknown, first_letter
from lmm_r1_mega.migration.bash.words import Word

REDIRECTS = ("file_redirect", "heredoc_redirect", "herestring_redirect")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\[(?:[^\]\"']|\"[^\"]*\"|'[^']*')*\])?(\+?=)")


@dataclass(frozen=True)
class Input:
    """What a command reads; None where that is not in the script."""

    text: str | None = None


@dataclass
class Call:
    """One command with all that it needs."""

    interpreter: Interpreter
    source: Source
    start: int
    shell: Shell
    fields: list[Word]
    given: Input

    @property
    def words(self) -> list[str]:
        """Its words, the name first."""
        return [field.text for field in self.fields]

    @property
    def place(self) -> str:
        """Where it stands."""
        return self.source.place(self.start)

    def run(self) -> Truth:
        """A function, a builtin or a program, in this order."""
        name, *arguments = self.words
        if name in self.shell.functions:
            return self.interpreter.call(self.shell.functions[name], arguments, self.shell, self.place)
        if (builtin := self.interpreter.builtins.get(name)) is not None:
            return builtin(self)
        return self.start_program()

    def start_program(self) -> Truth:
        """A program: its answer is not known."""
        line = 0 if self.source.inside or self.source.name else self.source.text.count("\n", 0, self.start) + 1
        program = Program(tuple(self.words), self.place, line)
        if self.interpreter.wanted(program):
            self.interpreter.found.append((program, self.shell))
            raise Found
        if (inner := inner_script(program, self.shell)) is not None:
            return self.interpreter.child(*inner)
        why = Unknown(f"`{short(self.source.text[self.start :].splitlines()[0])}` ({self.place}) ends as only a run can tell")
        if (carried := carried_script(program, self.shell)) is not None:
            self.interpreter.fork(self.shell, why, [lambda own: self.interpreter.child(*carried), lambda own: None])
        self.interpreter.programs.append(program)
        if self.shell.output is not None:
            self.shell.output.append(UNSEEN)
        return why


def commands(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """Programs, functions or builtins with their words."""
    return _commands(interpreter, source, node, shell, Input(), [])


def redirected(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """A statement whose input or output goes elsewhere."""
    redirects = node.labelled("redirect")
    given = next((found for one in redirects if (found := _input(interpreter, source, one, shell))), Input())
    extra = [span for redirect in redirects for span in _words_behind(interpreter, source, redirect, shell)]
    is_hidden = shell.output is not None and any(_takes_output(source.of(redirect)) for redirect in redirects)
    own = replace(shell, output=[]) if is_hidden else shell
    truth: Truth = True
    for child in node.labelled("body"):
        if child.kind == "command":
            truth = _commands(interpreter, source, child, own, given, extra)
        else:
            truth = interpreter.statement(source, child, own)
    shell.become(own)
    for redirect in redirects:
        for inner in redirect.children:
            if redirect.kind == "heredoc_redirect" and inner.kind in interpreter.handlers:  # `cat <<EOF | program`
                interpreter.statement(source, inner, replace(shell.copy(), output=None))
    return truth


def _words_behind(interpreter: Interpreter, source: Source, redirect: Node, shell: Shell) -> list[Span]:
    """Words of the command behind a redirection, which the grammar gives to that."""
    files = [redirect, *[child for child in redirect.children if child.kind == "file_redirect"]]
    spans = [(one.labelled("destination")[0].end, one.end) for one in files if one.kind == "file_redirect" and one.labelled("destination")]
    spans += [(child.start, child.end) for child in redirect.labelled("argument")]
    return [word for span in spans for word in interpreter.expander(source, shell).scanner.words(*span)]


def _input(interpreter: Interpreter, source: Source, redirect: Node, shell: Shell) -> Input | None:
    """What a here-document or a here-string gives the command to read."""
    expander = interpreter.expander(source, shell)
    if redirect.kind == "herestring_redirect":
        start = source.text.index("<<<", redirect.start) + 3
        start += len(source.text[start:]) - len(source.text[start:].lstrip(" \t"))
        return Input(expander.text(start, redirect.end) + "\n")
    if redirect.kind != "heredoc_redirect":
        return None
    body = next((child for child in redirect.children if child.kind == "heredoc_body"), None)
    if body is None:
        return Input("")
    sign = source.of(next(child for child in redirect.children if child.kind == "heredoc_start"))
    first = source.text.index("\n", redirect.start) + 1
    start, end = min(first, body.start), body.end
    raw = source.text[start:end]
    text = raw if sign.strip("'\"\\") != sign else expander.here_text(start, end)
    return Input(re.sub(r"(?m)^\t+", "", text) if source.text.startswith("<<-", redirect.start) else text)


def _commands(interpreter: Interpreter, source: Source, node: Node, shell: Shell, given: Input, extra: list[Span]) -> Truth:
    """The commands of a node: the grammar takes assignments on a line of their own for part of the next command."""
    skipped = [child for child in node.children if child.kind in REDIRECTS]
    given = next((found for one in skipped if (found := _input(interpreter, source, one, shell))), given)
    commands = raw_words(source, node, skipped, interpreter.expander(source, shell).scanner)
    truth: Truth = True
    for number, words in enumerate(commands, start=1):
        truth = _simple(interpreter, source, [*words, *(extra if number == len(commands) else [])], shell, given)
    return truth


def _simple(interpreter: Interpreter, source: Source, words: list[Span], shell: Shell, given: Input) -> Truth:
    """One command: assignments before it, then its words."""
    interpreter.num_commands += 1
    if interpreter.num_commands > MOST_COMMANDS:
        raise Unreadable(f"{source.place(words[0][0])}: {MOST_COMMANDS} commands without the one that is looked for: is there a loop?")
    rest = list(words)
    while rest and _ASSIGNMENT.match(source.text, *rest[0]):
        del rest[0]
    before = words[: len(words) - len(rest)]
    interpreter.substituted = True
    expander = interpreter.expander(source, shell)
    fields = [field for word in rest for field in _argument(interpreter, source, expander, word)]
    if not fields:
        for start, end in before:
            assign(interpreter, source, start, end, shell)
        return interpreter.substituted
    own = shell
    if before:
        own = replace(shell, variables=dict(shell.variables))
        for start, end in before:
            assign(interpreter, source, start, end, own, exports=True)
    call = Call(interpreter, source, words[0][0], own, fields, given)
    truth = call.run()
    if own is not shell:
        names = {_ASSIGNMENT.match(source.text, *word)[1] for word in before}  # type: ignore[index]
        kept = {name: shell.variables[name] for name in names if name in shell.variables}
        own.variables = {name: value for name, value in own.variables.items() if name not in names} | kept
        shell.become(own)
    return truth


def _argument(interpreter: Interpreter, source: Source, expander: Expander, word: Span) -> Iterator[Word]:
    """The words of one word; `a=~/b` is treated like an assignment, and an array stands for itself."""
    if (match := _ASSIGNMENT.match(source.text, *word)) is None:
        yield from expander.fields(*word)
        return
    if source.text.startswith("(", match.end()):
        yield Word(source.text[slice(*word)], "", word)
    elif source.text.startswith("~", match.end()):
        yield Word(match[0] + expander.text(match.end(), word[1]), "", word)
    else:
        yield from (replace(found, span=word) for found in expander.fields(*word))


def assign(interpreter: Interpreter, source: Source, start: int, end: int, shell: Shell, *, exports: bool = False) -> None:
    """`name=value`, `name+=value`, `name[key]=value`, `name=(values)`."""
    match = _ASSIGNMENT.match(source.text, start, end)
    assert match is not None
    name, key, adds = match[1], match[2], match[3] == "+="
    expander = interpreter.expander(source, shell)
    variable = shell.get(name)
    if source.text.startswith("(", match.end()):
        values = _array(interpreter, source, expander, (match.end() + 1, end - 1), variable, adds=adds)
        shell.variables[name] = replace(variable, value=values)
    else:
        value = expander.text(match.end(), end)
        target = name
        if key is not None:
            inner = source.text[match.start(2) + 1 : match.end(2) - 1]
            spot = (match.start(2) + 1, match.end(2) - 1)
            target = f"{name}[{expander.text(*spot) if variable.is_named else expander.arithmetic(*spot)}]"
            if not inner or first_letter(target):
                raise Unreadable(f"{source.place(start)}: the index of {name} is not known here: write it")
        if adds:
            value = _added(interpreter, expander, variable, target, value, start)
        elif variable.is_integer:
            value = expander.computed(value, start)
        shell.set(target, value)
    if exports:
        shell.variables[name] = replace(shell.variables[name], is_exported=True)


def _added(interpreter: Interpreter, expander: Expander, variable: Variable, target: str, value: str, start: int) -> str:
    """What `+=` makes of a value."""
    _, bracket, key = target.partition("[")
    elements = variable.elements
    old = elements.get((key[:-1] if variable.is_named else int(key[:-1])) if bracket else 0, "")
    if variable.value is None and not bracket and variable.is_exported:
        old = ""
    return expander.computed(f"({old or 0})+({value})", start) if variable.is_integer else old + value


def _array(
    interpreter: Interpreter, source: Source, expander: Expander, span: Span, variable: Variable, *, adds: bool
) -> dict[int | str, str]:
    """The elements between the parentheses of `a=(...)`."""
    elements = dict(variable.elements) if adds else {}
    keys = [key for key in elements if isinstance(key, int)]
    number = max(keys, default=-1) + 1
    for start, end in expander.scanner.words(*span):
        match = re.compile(r"\[((?:[^\]\"']|\"[^\"]*\"|'[^']*')*)\](\+?=)").match(source.text, start, end)
        if match is None:
            if variable.is_named:
                raise Unreadable(f"{source.place(start)}: elements of an array with names are read here as [name]=value")
            for found in expander.fields(start, end):
                elements[number] = found.text
                number += 1
            continue
        value = expander.text(match.end(), end)
        key: int | str = expander.text(*match.span(1))
        if not variable.is_named:
            index = expander.arithmetic(*match.span(1))
            if first_letter(index):
                raise Unreadable(f"{source.place(start)}: the index of an element is not known here: write it")
            key = int(index)
            number = key + 1
        elements[key] = elements.get(key, "") + value if match[2] == "+=" else value
    return elements


def _takes_output(redirect: str) -> bool:
    """Whether what is printed goes elsewhere: `> f` and `>&2` do so, `2> f` does not."""
    return bool(re.match(r"1?>|&>", redirect))
