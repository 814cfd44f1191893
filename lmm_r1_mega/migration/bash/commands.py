"""Commands with their words: assignments, arrays, redirections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from lmm_r1_mega.migration.bash.expansion import Expander
from lmm_r1_mega.migration.bash.interpreter import SIMPLE_COMMANDS, Interpreter, Program
from lmm_r1_mega.migration.bash.state import Shell, Truth, Value, Variable
from lmm_r1_mega.migration.bash.tree import Node, Source, Span, parse
from lmm_r1_mega.migration.bash.unknown import first_letter, readable

_KEY = r"\[((?:[^\]\"']|\"[^\"]*\"|'[^']*')*)\]"
_ASSIGNMENT = re.compile(rf"([A-Za-z_]\w*)(?:{_KEY})?(\+?=)", re.ASCII)
_ELEMENT = re.compile(rf"{_KEY}=")
_REDIRECT = re.compile(r"(\d*|&)(<<<|<<-?|>>|>\||>&|<&|<>|<|>)[ \t]*")
DECLARATIONS = ("export", "declare", "typeset", "local", "readonly")
_SHELLS = re.compile(r"(?:.*/)?(?:bash|sh|zsh|dash)")


@dataclass
class Call:
    """One command with all that it needs."""

    interpreter: Interpreter
    source: Source
    start: int
    shell: Shell
    words: list[str]
    """Its words, the name first."""
    stdin: str | None
    """What it reads, if that is in the script."""

    @property
    def position(self) -> str:
        """Where it stands."""
        return self.source.position(self.start)

    @property
    def expander(self) -> Expander:
        """Expands words of the text that it stands in."""
        return self.interpreter.expander(self.source, self.shell)

    def run(self) -> Truth:
        """A function, a builtin or a program, in this order."""
        name, *arguments = self.words
        if name in ("command", "builtin", "time", "exec") and arguments and not arguments[0].startswith("-"):
            return replace(self, words=arguments).run()
        if name in self.shell.functions:
            return self.interpreter.call(self.shell.functions[name], tuple(arguments), self.shell)
        builtin = self.interpreter.builtins.get(name)
        return builtin(self) if builtin is not None else self.start_program()

    def start_program(self) -> Truth:
        """A program, or the script that a shell is given."""
        line = 0 if self.source.inside or self.source.name else self.source.text.count("\n", 0, self.start) + 1
        program = Program(tuple(self.words), self.position, line)
        if program.training_words() is None and not program.only_names:
            if (inner := _inner_script(program, self.shell)) is not None:
                source, shell = inner
                return self.interpreter.child(source, source.root.children, shell, source.root.start_byte)
            if any("openrlhf.cli.train_ppo_ray" in word and re.search(r"\s", word) for word in program.words):
                raise ValueError(f"what {program.words[0]} does with this text is not known: give a script with the command itself")
        return self.interpreter.start(program, self.shell)


def _inner_script(program: Program, shell: Shell) -> tuple[Source, Shell] | None:
    """The script that a shell runs, with what it knows there: `bash -c TEXT` or `bash FILE`, whatever stands before."""
    words = program.words
    start = next((number for number, word in enumerate(words, start=1) if _SHELLS.fullmatch(word)), len(words))
    options = [word for word in words[start:] if re.match(r"-\w", word)]
    text, *rest = [word for word in words[start:] if word not in options] or [""]
    name, inside, script = text, "", text
    if any("c" in option for option in options):
        name, inside = "", program.position
        script, *rest = rest or ["bash"]
    else:
        path = Path(shell.folder) / text
        if not text or first_letter(str(path)) or not path.is_file():
            return None
        text = path.read_text(encoding="utf-8", errors="replace")
    if "openrlhf" not in text:
        return None
    hidden = shell.unknown(f"what the script of {program.position} gets is not known: export its variables, or write them")
    variables = {name: old if old.is_exported else Variable(hidden) for name, old in shell.variables.items() if old.value is not None}
    own = replace(shell.copy(), script=script, arguments=tuple(rest), variables=variables, functions={}, frames=(), output=None)
    return parse(text, name=name, inside=inside), own


Redirects = list[tuple[str, Span]]
"""Signs, and where what stands behind them is."""


def run_commands(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """The commands of a node, or a statement whose input or output goes elsewhere."""
    document = next((child for child in node.children if child.type == "heredoc_redirect"), None)
    parts = {child.type: child for child in document.children} if document else {}
    if document and ("heredoc_end" not in parts or source.text[parts["heredoc_end"].end_byte : node.end_byte].strip()):
        raise ValueError("give the here-document's command lines of its own")
    end = source.text.find("\n", parts["heredoc_start"].end_byte) if document else node.end_byte
    body = node.child_by_field_name("body") if node.type == "redirected_statement" else None
    group = body if body is not None and body.type not in SIMPLE_COMMANDS else None
    output = shell.output
    truth: Truth = True
    for words, redirects in _lines(source, node.start_byte if group is None else group.end_byte, end):
        if group is not None and words:
            raise ValueError("words behind its redirections are not followed: simplify it")
        if any(re.match(r"(1?|&)>", sign) for sign, _ in redirects):  # `> f` and `>&2`, but not `2> f`
            shell.output = None
        try:
            if group is not None:
                truth = interpreter.statement(source, group, shell)
            elif words:
                stdin = _stdin(interpreter.expander(source, shell), redirects, parts.get("heredoc_end"))
                truth = _simple(interpreter, source, words, shell, stdin)
        finally:
            shell.output = output
    return truth


def _lines(source: Source, start: int, end: int) -> Iterator[tuple[list[Span], Redirects]]:
    """Words and redirections of each command: the grammar takes assignments on lines of their own for part of the next one."""
    text, index = source.text, start
    words: list[Span] = []
    redirects: Redirects = []
    while (begin := source.next_word(index, end)) < end:
        if words and "\n" in re.sub(r"#[^\n]*", "", text[index:begin]).replace("\\\n", ""):
            yield words, redirects
            words, redirects = [], []
        redirect = None if begin in source.inner else _REDIRECT.match(text, begin, end)
        index = source.word_end(redirect.end() if redirect else begin, end)
        if redirect:
            redirects.append((redirect[0].rstrip(), (redirect.end(), index)))
        else:
            words.append((begin, index))
    yield words, redirects


def _stdin(expander: Expander, redirects: Redirects, document_end: Node | None) -> str | None:
    """What a here-document or a here-string gives a command to read."""
    text = expander.source.text
    for sign, span in redirects:
        if sign.endswith("<<<"):
            return expander.text(*span) + "\n"
        if "<<" in sign and document_end is not None:
            word, start, end = text[slice(*span)], text.index("\n", span[1]) + 1, document_end.start_byte
            body = text[start:end] if word.strip("'\"\\") != word else expander.here_text(start, end)
            return re.sub(r"(?m)^\t+", "", body) if "-" in sign else body
    return None


def _simple(interpreter: Interpreter, source: Source, words: list[Span], shell: Shell, stdin: str | None) -> Truth:
    """One command: assignments before it, then its words."""
    interpreter.substituted = True
    expander = interpreter.expander(source, shell)
    before = list(takewhile(lambda span: _ASSIGNMENT.match(source.text, *span), words))
    rest = words[len(before) :]
    names = [re.split(r"\W", source.text[slice(*span)])[0] for span in before]
    kept = {name: shell.get(name) for name in names}
    is_declaration = bool(rest) and source.text[slice(*rest[0])] in DECLARATIONS
    fields = [] if is_declaration else [word.text for span in rest for word in expander.fields(*span)]
    for span in before:
        assign(expander, span, {"x", "g"} if fields else frozenset())
    if is_declaration:
        _declare(expander, rest)
    if not fields:
        return interpreter.substituted
    try:
        return Call(interpreter, source, words[0][0], shell, fields, stdin).run()
    finally:
        shell.variables |= kept


def _declare(expander: Expander, words: list[Span]) -> None:
    """`export`, `declare`, `typeset`, `local` and `readonly`."""
    source, shell = expander.source, expander.shell
    name, *texts = [source.text[slice(*span)] for span in words]
    options = list(takewhile(lambda text: text[0] in "-+", texts))
    attributes = set("".join(options)) - set("-")
    if attributes - set("Aagprx" if name != "export" else "p") or any(text[0] in "-+" for text in texts[len(options) :]):
        raise ValueError("only -A, -a, -g, -p, -r and -x are read here, and before names: use the variable itself")
    attributes |= {"export": {"x", "g"}, "readonly": {"g", "r"}}.get(name, {"of the function"})
    for span in words[1 + len(options) :]:
        if _ASSIGNMENT.match(source.text, *span):
            assign(expander, span, attributes)
            continue
        for text in (word.text for word in expander.fields(*span)):
            variable, equals, value = text.partition("=")
            if variable.isidentifier():
                _store(shell, variable, value if equals else None, attributes)
            elif first_letter(text):
                shell.forget_all(f"what {name} {readable(text)} sets ({source.position(span[0])}) is not in the script")
            else:
                raise ValueError("write NAME=VALUE")


def _store(shell: Shell, name: str, value: Value, attributes: Set[str]) -> None:
    """Give a variable a value and the attributes of `declare`: without -g or -x it is one of the function that runs."""
    old = shell.get(name)
    if attributes and "g" not in attributes:
        shell.hide(name)
    new = replace(
        shell.get(name),
        is_named="A" in attributes or old.is_named,
        is_exported="x" in attributes or old.is_exported,
        is_readonly="r" in attributes,
    )
    shell.store(name, new if value is None else replace(new, value=value))


def assign(expander: Expander, span: Span, attributes: Set[str] = frozenset()) -> None:
    """`name=value`, `name+=value`, `name[key]=value`, `name=(values)`."""
    text = expander.source.text
    match = _ASSIGNMENT.match(text, *span)
    assert match is not None
    old, adds = expander.shell.get(match[1]), match[3] == "+="
    old = replace(old, is_named=old.is_named or "A" in attributes)
    value: Value
    if text.startswith("(", match.end()):
        value = _array(expander, (match.end() + 1, span[1] - 1), old, adds=adds)
    else:
        value = expander.text(match.end(), span[1])
        if match[2] is not None or isinstance(old.value, Mapping):
            first: int | str = "0" if old.is_named else 0
            key = first if match[2] is None else _key(expander, match.span(2), old)
            value = old.elements | {key: (old.elements.get(key, "") if adds else "") + value}
        elif adds:
            value = (old.value or "") + value
    _store(expander.shell, match[1], value, attributes)


def _key(expander: Expander, span: Span, variable: Variable) -> int | str:
    """The index of an element: a number, or a name."""
    key = expander.text(*span) if variable.is_named else expander.arithmetic(*span)
    if first_letter(key) or span[0] == span[1] or key.startswith("-"):
        raise ValueError("an index is not known here, or counts from the end: write it")
    return key if variable.is_named else int(key)


def _array(expander: Expander, span: Span, variable: Variable, *, adds: bool) -> dict[int | str, str]:
    """The elements between the parentheses of `a=(...)`."""
    elements = dict(variable.elements) if adds else {}
    number = 1 + max((key for key in elements if isinstance(key, int)), default=-1)
    for start, end in expander.source.words(*span):
        match = _ELEMENT.match(expander.source.text, start, end)
        if match is not None:
            key = _key(expander, match.span(1), variable)
            elements[key] = expander.text(match.end(), end)
            number = key + 1 if isinstance(key, int) else number
        elif variable.is_named:
            raise ValueError("write the elements as [name]=value")
        else:
            for word in expander.fields(start, end):
                elements[number] = word.text
                number += 1
    return elements
