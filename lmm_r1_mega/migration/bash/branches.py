"""What goes on or not: lists, groups, `if`, `case`, conditions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from lmm_r1_mega.migration.bash.conditions import Conditions, DoubleBrackets, Truth, arithmetic_truth, negated
from lmm_r1_mega.migration.bash.interpreter import QUIET, UNSEEN, Interpreter, Leaves
from lmm_r1_mega.migration.bash.patterns import matches
from lmm_r1_mega.migration.bash.reading import short
from lmm_r1_mega.migration.bash.scan import Unreadable
from lmm_r1_mega.migration.bash.state import Function, Shell
from lmm_r1_mega.migration.bash.tree import Node, Source
from lmm_r1_mega.migration.bash.unknown import Unknown, first_letter


def list_(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`a && b`, `a || b`."""
    first, sign, second = [child for child in node.children if child.kind not in QUIET]
    truth = interpreter.statement(source, first, shell)
    if isinstance(truth, Unknown):
        ends: list[Truth] = []
        interpreter.fork(shell, truth, [lambda own: ends.append(interpreter.statement(source, second, own)), lambda own: None])
        return truth
    if truth == (sign.kind == "&&"):
        return interpreter.statement(source, second, shell)
    return truth


def not_(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`! a`"""
    return negated(interpreter.statement(source, node.children[-1], shell))


def pipeline(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`a | b`: every part in a shell of its own."""
    for child in node.children:
        if child.is_named and child.kind not in QUIET:
            with suppress(Leaves):
                interpreter.statement(source, child, replace(shell.copy(), output=None))
    if shell.output is not None:
        shell.output.append(UNSEEN)
    return Unknown(f"`{short(source.of(node))}` ({source.place(node.start)}) ends as only a run can tell")


def subshell(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`( ... )`"""
    try:
        return interpreter.statements(source, replace(node, start=node.start + 1, children=node.children[1:-1]), shell.copy())
    except Leaves as leaves:
        if leaves.kind != "exit":
            raise
        return leaves.truth


def group(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`{ ... }` or `((...))`."""
    if node.children[0].kind == "((":
        return arithmetic_truth(interpreter.expander(source, shell), node.start + 2, node.end - 2)
    begin = node.children[0]
    return interpreter.statements(source, replace(node, start=begin.end, children=node.children[1:-1]), shell)


def test(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`[ ... ]` or `[[ ... ]]`."""
    size = 2 if source.text.startswith("[[", node.start) else 1
    expander = interpreter.expander(source, shell)
    conditions = Conditions(shell, source.place(node.start))
    if size == 2:
        return DoubleBrackets(expander, conditions, node.start + 2, node.end - 2).truth()
    if "\n" in source.of(node).replace("\\\n", "") or not source.text[node.end - size - 1].isspace():
        raise Unreadable(f"{source.place(node.start)}: `[` has no ` ]` on its line: write it there, with a blank before it")
    words = [word.text for span in expander.scanner.words(node.start + 1, node.end - 1) for word in expander.fields(*span)]
    return conditions.test(words)


def if_(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`if`, `elif`, `else`."""
    clauses: list[tuple[list[Node], list[Node]]] = []
    own: tuple[list[Node], list[Node]] = ([], [])
    for child in node.children:
        if child.kind == "elif_clause":
            clauses.append(_divided(child.children))
        elif child.kind == "else_clause":
            clauses.append(([], list(child.children[1:])))
    own = _divided([child for child in node.children if child.kind not in ("elif_clause", "else_clause", "fi")])
    return _clauses(interpreter, source, [own, *clauses], shell)


def _clauses(interpreter: Interpreter, source: Source, clauses: list[tuple[list[Node], list[Node]]], shell: Shell) -> Truth:
    if not clauses:
        return True
    (condition, body), *others = clauses
    truth = interpreter.block(source, condition, shell) if condition else True
    if isinstance(truth, Unknown):
        interpreter.fork(
            shell,
            truth,
            [lambda own: interpreter.block(source, body, own), lambda own: _clauses(interpreter, source, others, own)],
        )
        return truth
    return interpreter.block(source, body, shell) if truth else _clauses(interpreter, source, others, shell)


def case(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`case word in pattern) ... esac`"""
    items = [child for child in node.children if child.kind == "case_item"]
    value = node.labelled("value")
    expander = interpreter.expander(source, shell)
    text = shell.decided(expander.text(value[0].start, value[-1].end))
    if (why := shell.unknowns.first(text)) is not None:
        interpreter.fork(shell, why, [*[_way(interpreter, source, item) for item in items], lambda own: None])
        return why
    for item in items:
        close = next(child for child in item.children if child.kind == ")")
        body, sign = _case_body(interpreter, item, close)
        for start, end in expander.scanner.choices(item.start, close.start):
            pattern = shell.decided(expander.pattern(start, end))
            if first_letter(pattern) or sign in (";&", ";;&"):
                raise Unreadable(f"{source.place(item.start)}: this branch of `case` is not read here: simplify it")
            if matches(text, pattern):
                return interpreter.block(source, body, shell)
    return True


def _case_body(interpreter: Interpreter, item: Node, close: Node) -> tuple[list[Node], str]:
    nodes = [child for child in item.children if child.start >= close.end]
    ends = [child.kind for child in nodes if child.kind in (";;", ";&", ";;&")]
    return [child for child in nodes if child.kind not in (";;", ";&", ";;&")], ends[0] if ends else ""


def _way(interpreter: Interpreter, source: Source, item: Node) -> Callable[[Shell], object]:
    close = next(child for child in item.children if child.kind == ")")
    return lambda own: interpreter.block(source, _case_body(interpreter, item, close)[0], own)


def define(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`name() { ... }`"""
    name = source.of(node.labelled("name")[0])
    shell.functions[name] = Function(source, node.labelled("body")[0])
    return True


def _divided(nodes: Sequence[Node]) -> tuple[list[Node], list[Node]]:
    """The nodes of a clause before and behind `then`."""
    then = next(number for number, node in enumerate(nodes) if node.kind == "then")
    return [node for node in nodes[1:then]], list(nodes[then + 1 :])
