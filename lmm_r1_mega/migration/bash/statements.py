"""What goes on or not: lists, groups, `if`, `case`, loops, conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from lmm_r1_mega.migration.bash import commands
from lmm_r1_mega.migration.bash.conditions import arithmetic_truth, double_brackets, negated, test
from lmm_r1_mega.migration.bash.interpreter import QUIET, UNSEEN, Found, Interpreter
from lmm_r1_mega.migration.bash.patterns import compiled
from lmm_r1_mega.migration.bash.state import Function, Leaves, Shell, Truth
from lmm_r1_mega.migration.bash.tree import Node, Source, short
from lmm_r1_mega.migration.bash.unknown import Unknown, first_letter, is_split
from lmm_r1_mega.migration.bash.words import as_pattern, joined


def _list(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`a && b`, `a || b`."""
    first, sign, second = [child for child in node.children if child.kind not in QUIET]
    truth = interpreter.statement(source, first, shell)
    if isinstance(truth, Unknown):
        return interpreter.in_doubt(shell, truth, lambda: interpreter.statement(source, second, shell))
    return interpreter.statement(source, second, shell) if truth == (sign.kind == "&&") else truth


def _not(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`! a`"""
    return negated(interpreter.statement(source, node.children[-1], shell))


def _pipeline(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`a | b`: every part in a shell of its own."""
    for child in node.children:
        if child.is_named and child.kind not in QUIET:
            with suppress(Leaves):
                interpreter.statement(source, child, replace(shell.copy(), output=None))
    shell.print(UNSEEN)
    return Unknown(f"`{short(source.of(node))}` ({source.place(node.start)}) ends as only a run can tell")


def _subshell(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`( ... )`"""
    return interpreter.child(source, node.children[1:-1], shell.copy(), node.start + 1)


def _group(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`{ ... }`, `do ... done` or `((...))`."""
    begin = node.children[0]
    if begin.kind == "((":
        return arithmetic_truth(interpreter.expander(source, shell), node.start + 2, node.end - 2)
    return interpreter.block(source, node.children[1:-1], shell, begin.end)


def _test(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`[ ... ]` or `[[ ... ]]`."""
    expander = interpreter.expander(source, shell)
    if source.text.startswith("[[", node.start):
        return double_brackets(expander, node.start + 2, node.end - 2)
    if "\n" in source.of(node).replace("\\\n", "") or not source.text[node.end - 2].isspace():
        raise ValueError("`[` has no ` ]` on its line: write it there, with a blank before it")
    spans = source.words(node.start + 1, node.end - 1)
    return test([word.text for span in spans for word in expander.fields(*span)], shell, source.place(node.start))


def _if(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`if`, `elif`, `else`: what follows the last `then` or `else` ends where the next clause begins."""
    then = next(number for number, child in enumerate(node.children) if child.kind == "then")
    clauses = [child for child in node.children if child.kind in ("elif_clause", "else_clause")]
    body = [child for child in node.children[then + 1 :] if child not in clauses and child.kind != "fi"]
    ways = [(node.children[1:then], body)]
    for clause in clauses:
        ends = [number for number, child in enumerate(clause.children) if child.kind == "then"]
        ways.append((clause.children[1 : ends[0]] if ends else (), list(clause.children[ends[0] + 1 if ends else 1 :])))
    return _first_way(interpreter, source, ways, shell)


def _first_way(interpreter: Interpreter, source: Source, ways: Sequence[tuple[Sequence[Node], list[Node]]], shell: Shell) -> Truth:
    if not ways:
        return True
    (condition, body), *others = ways
    truth = interpreter.block(source, condition, shell)
    follow = [lambda: interpreter.block(source, body, shell), lambda: _first_way(interpreter, source, others, shell)]
    if isinstance(truth, Unknown):
        return interpreter.in_doubt(shell, truth, *follow)
    return follow[not truth]()


def _case(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`case word in pattern) ... esac`"""
    expander = interpreter.expander(source, shell)
    value = node.labelled("value")
    text = joined(expander.decided(value[0].start, value[-1].end))
    items = [child for child in node.children if child.kind == "case_item"]
    closes = [next(child for child in item.children if child.kind == ")") for item in items]
    bodies = [
        [child for child in item.children if child.start >= close.end and child.kind != ";;"]
        for item, close in zip(items, closes, strict=True)
    ]
    if (why := shell.unknowns.first(text)) is not None:
        return interpreter.in_doubt(shell, why, *[partial(interpreter.block, source, body, shell) for body in bodies])
    for item, close, body in zip(items, closes, bodies, strict=True):
        patterns = [as_pattern(expander.decided(*span)) for span in source.words(item.start, close.start, between="|(")]
        if first_letter("".join(patterns)) or any(child.kind in (";&", ";;&") for child in item.children):
            raise ValueError("one of its patterns is not known here, or it has ;&: write it with if")
        if any(compiled(pattern).fullmatch(text) for pattern in patterns):
            return interpreter.block(source, body, shell)
    return True


def _define(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`name() { ... }`"""
    name = source.of(node.labelled("name")[0])
    shell.functions[name] = Function(source, None if shell.doubts else node.labelled("body")[0])
    return True


def _for(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`for name in words`"""
    if node.children[0].kind == "select":
        raise ValueError("select asks whoever runs the script: write the answer")
    name = source.of(node.labelled("variable")[0])
    values = node.labelled("value")
    words = list(shell.arguments)
    if any(child.kind == "in" for child in node.children):
        expander = interpreter.expander(source, shell)
        spans = source.words(values[0].start, values[-1].end) if values else []
        words = [word.text for span in spans for word in expander.fields(*span)]
    rest = iter([new for word in words if (new := shell.decided(word) if is_split(word) else word) or not word])

    def condition() -> Truth:
        word = next(rest, None)
        if word is not None:
            shell.set(name, word)
        return shell.unknowns.first(word) or True if word is not None and is_split(word) else word is not None

    return _loop(interpreter, source, node, shell, condition)


def _while(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`while` and `until`."""
    body = node.labelled("body")[0]
    is_until = node.children[0].kind == "until"

    def condition() -> Truth:
        truth = interpreter.block(source, node.children[1 : node.children.index(body)], shell)
        return negated(truth) if is_until else truth

    return _loop(interpreter, source, node, shell, condition)


def _c_for(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`for ((i = 0; i < n; i++))`"""
    begin = next(child for child in node.children if child.kind == "((").end
    end = next(child for child in node.children if child.kind == "))").start
    signs = [child.start for child in node.children if child.kind == ";" and begin <= child.start < end]
    if len(signs) != 2:
        raise ValueError("give the loop three parts")
    expander = interpreter.expander(source, shell)
    steps = iter([(begin, signs[0])])

    def condition() -> Truth:
        expander.arithmetic(*next(steps, (signs[1] + 1, end)))
        return arithmetic_truth(expander, signs[0] + 1, signs[1]) if source.text[signs[0] + 1 : signs[1]].strip() else True

    return _loop(interpreter, source, node, shell, condition)


def _loop(interpreter: Interpreter, source: Source, node: Node, shell: Shell, condition: Callable[[], Truth]) -> Truth:
    """Rounds while the condition holds; if nobody knows how many, until one changes nothing more that is known."""
    body = node.labelled("body")[0]
    doubts, shell.doubts = shell.doubts, shell.inherited_doubts
    last: Truth = True

    def goes_on() -> bool:
        nonlocal last
        try:
            interpreter.count()
            last = interpreter.statement(source, body, shell)
        except Leaves as leaves:
            if leaves.kind not in ("break", "continue"):
                raise
            if leaves.levels > 1:
                raise Leaves(leaves.kind, leaves.levels - 1) from None
            last = True
            return leaves.kind == "continue"
        except Found:
            shell.notes[f"the command stands in a loop ({source.place(node.start)}): this is its first round"] = None
            raise
        return True

    def any_rounds() -> None:
        before = None
        while before != (before := (dict(shell.variables), shell.arguments, shell.folder)):
            goes_on()
            condition()

    try:
        while (truth := condition()) is True and goes_on():
            if lasting := [why for kind, why in shell.doubts.items() if kind != "branch"]:  # a round ended here, or did not
                truth = lasting[0]
                break
        return interpreter.in_doubt(shell, truth, any_rounds) if isinstance(truth, Unknown) else last
    finally:
        shell.doubts = doubts | {kind: why for kind, why in shell.doubts.items() if kind in ("function", "process")}


STATEMENTS: Mapping[str, Callable[[Interpreter, Source, Node, Shell], Truth]] = {
    **dict.fromkeys(("command", "variable_assignment", "variable_assignments", "declaration_command", "unset_command"), commands.commands),
    "redirected_statement": commands.redirected,
    "list": _list,
    "negated_command": _not,
    "pipeline": _pipeline,
    "subshell": _subshell,
    **dict.fromkeys(("compound_statement", "do_group"), _group),
    "test_command": _test,
    "if_statement": _if,
    "case_statement": _case,
    "function_definition": _define,
    "for_statement": _for,
    "while_statement": _while,
    "c_style_for_statement": _c_for,
}
