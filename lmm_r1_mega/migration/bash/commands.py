"""Commands with their words: assignments, redirections, arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lmm_r1_mega.migration.bash.expansion import Expander
from lmm_r1_mega.migration.bash.interpreter import Interpreter, Program
from lmm_r1_mega.migration.bash.state import Shell, Truth, Variable
from lmm_r1_mega.migration.bash.tree import Node, Source, Span, parse
from lmm_r1_mega.migration.bash.unknown import first_letter
from lmm_r1_mega.migration.bash.words import Word

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(?:\[((?:[^\]\"']|\"[^\"]*\"|'[^']*')*)\])?(\+?=)")
_ELEMENT = re.compile(r"()\[((?:[^\]\"']|\"[^\"]*\"|'[^']*')*)\](\+?=)")
_SHELLS = re.compile(r"(?:.*/)?(?:bash|sh|zsh|dash)")


@dataclass
class Call:
    """One command with all that it needs."""

    interpreter: Interpreter
    source: Source
    start: int
    shell: Shell
    fields: list[Word]
    given: str | None
    """What it reads, if that is in the script."""

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
            return self.interpreter.call(self.shell.functions[name], tuple(arguments), self.shell)
        builtin = self.interpreter.builtins.get(name)
        return builtin(self) if builtin is not None else self.start_program()

    def start_program(self) -> Truth:
        """A program, or the script that a shell is given."""
        line = 0 if self.source.inside or self.source.name else self.source.text.count("\n", 0, self.start) + 1
        program = Program(tuple(self.words), self.place, line)
        if program.training_words() is not None or program.only_names:
            return self.interpreter.start(program, self.shell)
        if (inner := _inner_script(program, self.shell)) is not None:
            source, shell = inner
            return self.interpreter.child(source, source.root.children, shell, source.root.start)
        if any("openrlhf.cli.train_ppo_ray" in word and re.search(r"\s", word) for word in program.words):
            raise ValueError(f"what {program.words[0]} does with this text is not known: give a script with the command itself")
        return self.interpreter.start(program, self.shell)


def _inner_script(program: Program, shell: Shell) -> tuple[Source, Shell] | None:
    """The script that a shell runs, with what it knows there: `bash -c TEXT` or `bash FILE`, whatever stands before."""
    words = program.words
    start = next((number for number, word in enumerate(words, start=1) if _SHELLS.fullmatch(word)), len(words))
    options = [word for word in words[start:] if re.match(r"-\w", word)]
    text, *rest = [word for word in words[start:] if word not in options] or [""]
    name, inside = text, ""
    own = shell.copy()
    own.variables = {name: variable for name, variable in shell.variables.items() if variable.is_exported}
    own.functions, own.options, own.frames, own.output = {}, frozenset(), (), None
    if any("c" in option for option in options):
        name, inside = "", program.place
        own.script, *rest = rest or ["bash"]
    else:
        path = Path(shell.folder) / text
        if not text or first_letter(str(path)) or not path.is_file():
            return None
        own.script, text = text, path.read_text(encoding="utf-8", errors="replace")
    own.arguments = tuple(rest)
    return (parse(text, name=name, inside=inside), own) if "openrlhf" in text else None


def commands(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """Programs, functions or builtins with their words."""
    return _commands(interpreter, source, node, shell, None, [])


def redirected(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """A statement whose input or output goes elsewhere."""
    redirects = node.labelled("redirect")
    given = _given(interpreter.expander(source, shell), redirects)
    extra = [span for redirect in redirects for span in _words_behind(source, redirect)]
    output = shell.output
    if any(re.match(r"1?>|&>", source.of(redirect)) for redirect in redirects):  # `> f` and `>&2`, but not `2> f`
        shell.output = None
    truth: Truth = True
    try:
        for child in node.labelled("body"):
            if child.kind == "command":
                truth = _commands(interpreter, source, child, shell, given, extra)
            else:
                truth = interpreter.statement(source, child, shell)
    finally:
        shell.output = output
    for redirect in redirects:
        for inner in redirect.children if redirect.kind == "heredoc_redirect" else ():
            if inner.kind in interpreter.handlers:  # `cat <<EOF | program`
                interpreter.statement(source, inner, replace(shell.copy(), output=None))
    return truth


def _words_behind(source: Source, redirect: Node) -> list[Span]:
    """Words of the command behind a redirection, which the grammar gives to that."""
    files = [one for one in (redirect, *redirect.children) if one.kind == "file_redirect" and one.labelled("destination")]
    spans = [(one.labelled("destination")[0].end, one.end) for one in files]
    spans += [(child.start, child.end) for child in redirect.labelled("argument")]
    return [word for span in spans for word in source.words(*span)]


def _given(expander: Expander, redirects: Sequence[Node]) -> str | None:
    """What a here-document or a here-string gives a command to read."""
    text = expander.source.text
    for redirect in redirects:
        if redirect.kind == "herestring_redirect":
            start = text.index("<<<", redirect.start) + 3
            return expander.text(start + len(text[start:]) - len(text[start:].lstrip(" \t")), redirect.end) + "\n"
        if redirect.kind == "heredoc_redirect":
            body = next((child for child in redirect.children if child.kind == "heredoc_body"), None)
            sign = expander.source.of(next(child for child in redirect.children if child.kind == "heredoc_start"))
            span = (min(text.index("\n", redirect.start) + 1, body.start), body.end) if body else (0, 0)
            lines = text[slice(*span)] if sign.strip("'\"\\") != sign else expander.here_text(*span)
            return re.sub(r"(?m)^\t+", "", lines) if text.startswith("<<-", redirect.start) else lines
    return None


def _commands(interpreter: Interpreter, source: Source, node: Node, shell: Shell, given: str | None, extra: list[Span]) -> Truth:
    """The commands of a node: the grammar takes assignments on a line of their own for part of the next command."""
    redirects = [child for child in node.children if child.kind.endswith("_redirect")]
    given = _given(interpreter.expander(source, shell), redirects) if redirects else given
    found: list[list[Span]] = [[]]
    place = node.start
    for redirect in [*redirects, None]:
        for span in source.words(place, redirect.start if redirect else node.end):
            if found[-1] and "\n" in source.text[found[-1][-1][1] : span[0]].replace("\\\n", ""):
                found.append([])
            found[-1].append(span)
        targets = redirect.labelled("destination") if redirect and redirect.kind == "file_redirect" else ()
        place = targets[0].end if targets else redirect.end if redirect else place
    found[-1] += extra
    truth: Truth = True
    for words in found:
        truth = _simple(interpreter, source, words, shell, given) if words else truth
    return truth


def _simple(interpreter: Interpreter, source: Source, words: list[Span], shell: Shell, given: str | None) -> Truth:
    """One command: assignments before it, then its words."""
    interpreter.count()
    rest = list(words)
    while rest and _ASSIGNMENT.match(source.text, *rest[0]):
        del rest[0]
    before = words[: len(words) - len(rest)]
    interpreter.substituted = True
    expander = interpreter.expander(source, shell)
    fields = [field for word in rest for field in _argument(source, expander, word)]
    if not fields:
        for span in before:
            assign(expander, span)
        return interpreter.substituted
    names = [source.text[slice(*span)].split("=")[0].split("[")[0].rstrip("+") for span in before]
    kept = {name: shell.variables.get(name) for name in names}
    for name, span in zip(names, before, strict=True):
        assign(expander, span)
        shell.variables[name] = replace(shell.variables[name], is_exported=True)
    try:
        return Call(interpreter, source, words[0][0], shell, fields, given).run()
    finally:
        shell.restore(kept)


def _argument(source: Source, expander: Expander, word: Span) -> Iterator[Word]:
    """The words of one word; `a=~/b` is treated like an assignment, and an array stands for itself."""
    if (match := _ASSIGNMENT.match(source.text, *word)) is None:
        yield from expander.fields(*word)
    elif source.text.startswith("(", match.end()):
        yield Word(source.text[slice(*word)], "", word)
    elif source.text.startswith("~", match.end()):
        yield Word(match[0] + expander.text(match.end(), word[1]), "", word)
    else:
        yield from (replace(found, span=word) for found in expander.fields(*word))


def assign(expander: Expander, span: Span) -> None:
    """`name=value`, `name+=value`, `name[key]=value`, `name=(values)`."""
    match = _ASSIGNMENT.match(expander.source.text, *span)
    assert match is not None
    name, shell = match[1], expander.shell
    variable = shell.get(name)
    if expander.source.text.startswith("(", match.end()):
        shell.store(name, replace(variable, value=_array(expander, (match.end() + 1, span[1] - 1), name, adds=match[3] == "+=")))
        return
    value = expander.text(match.end(), span[1])
    key = _key(expander, match, name) if match[2] is not None else None
    if match[3] == "+=":
        value = variable.elements.get(key if key is not None else "0" if variable.is_named else 0, "") + value
    shell.set(name, value, key)


def _key(expander: Expander, match: re.Match[str], name: str) -> int | str:
    """The index of an element: a number, or a name."""
    is_named = expander.shell.get(name).is_named
    key = expander.text(*match.span(2)) if is_named else expander.arithmetic(*match.span(2))
    if first_letter(key) or not match[2]:
        raise ValueError(f"the index of {name} is not known here: write it")
    return key if is_named else expander.index(name, key)


def _array(expander: Expander, span: Span, name: str, *, adds: bool) -> dict[int | str, str]:
    """The elements between the parentheses of `a=(...)`."""
    variable: Variable = expander.shell.get(name)
    elements = dict(variable.elements) if adds else {}
    number = 1 + max((key for key in elements if isinstance(key, int)), default=-1)
    for start, end in expander.source.words(*span):
        match = _ELEMENT.match(expander.source.text, start, end)
        if match is not None:
            key, value = _key(expander, match, name), expander.text(match.end(), end)
            elements[key] = elements.get(key, "") + value if match[3] == "+=" else value
            number = key + 1 if isinstance(key, int) else number
        elif variable.is_named:
            raise ValueError(f"write the elements of {name} as [name]=value")
        else:
            for found in expander.fields(start, end):
                elements[number] = found.text
                number += 1
    return elements
