"""`for`, `while`, `until`."""

from __future__ import annotations

from collections.abc import Callable

from lmm_r1_mega.migration.bash.conditions import Truth, arithmetic_truth, negated
from lmm_r1_mega.migration.bash.interpreter import MOST_COMMANDS, Found, Interpreter, Leaves, Undecided
from lmm_r1_mega.migration.bash.reading import assigned_names
from lmm_r1_mega.migration.bash.scan import Unreadable
from lmm_r1_mega.migration.bash.state import Shell, Variable
from lmm_r1_mega.migration.bash.tree import Node, Source
from lmm_r1_mega.migration.bash.unknown import Unknown, is_split


def for_(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`for name in words`"""
    name = source.of(node.labelled("variable")[0])
    body = node.labelled("body")[0]
    values = node.labelled("value")
    if node.children[0].kind == "select":
        why = Unknown(f"`select` ({source.place(node.start)}) asks whoever runs the script")
        return _unknown_loop(interpreter, source, node, shell, why, lambda own: interpreter.statement(source, body, own))
    words = list(shell.arguments)
    if any(child.kind == "in" for child in node.children):
        expander = interpreter.expander(source, shell)
        spans = expander.scanner.words(values[0].start, values[-1].end) if values else []
        words = [word.text for span in spans for word in expander.fields(*span)]
    words = [new for word in words if (new := shell.decided(word) if is_split(word) else word) or not word]
    unsure = next((word for word in words if is_split(word)), None)
    if unsure is not None:
        shell.set(name, unsure)
        return _unknown_loop(
            interpreter, source, node, shell, shell.unknowns.behind(unsure), lambda own: interpreter.statement(source, body, own)
        )
    for word in words:
        shell.set(name, word)
        if _round(interpreter, source, node, body, shell):
            break
    return True


def while_(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`while` and `until`."""
    body = node.labelled("body")[0]
    condition = list(node.children[1 : node.children.index(body)])
    is_until = node.children[0].kind == "until"
    while True:
        truth = interpreter.block(source, condition, shell)
        truth = negated(truth) if is_until else truth
        if isinstance(truth, Unknown):
            return _unknown_loop(interpreter, source, node, shell, truth, lambda own: interpreter.statement(source, body, own))
        if not truth or _round(interpreter, source, node, body, shell):
            return True
        interpreter.num_commands += 1


def c_for(interpreter: Interpreter, source: Source, node: Node, shell: Shell) -> Truth:
    """`for ((i = 0; i < n; i++))`"""
    begin = next(child for child in node.children if child.kind == "((").end
    end = next(child for child in node.children if child.kind == "))").start
    body = node.labelled("body")[0]
    signs = [child.start for child in node.children if child.kind == ";" and begin <= child.start < end]
    if len(signs) != 2:
        raise Unreadable(f"{source.place(node.start)}: this loop is not read here: give it three parts")
    expander = interpreter.expander(source, shell)
    expander.arithmetic(begin, signs[0])
    while True:
        truth = arithmetic_truth(expander, signs[0] + 1, signs[1]) if source.text[signs[0] + 1 : signs[1]].strip() else True
        if isinstance(truth, Unknown):
            return _unknown_loop(interpreter, source, node, shell, truth, lambda own: interpreter.statement(source, body, own))
        if not truth or _round(interpreter, source, node, body, shell):
            return True
        expander.arithmetic(signs[1] + 1, end)
        interpreter.num_commands += 1
        if interpreter.num_commands > MOST_COMMANDS:
            raise Unreadable(f"{source.place(node.start)}: a loop without end")


def _round(interpreter: Interpreter, source: Source, node: Node, body: Node, shell: Shell) -> bool:
    """One round; whether the loop ends with it."""
    try:
        interpreter.statement(source, body, shell)
    except Leaves as leaves:
        if leaves.kind not in ("break", "continue"):
            raise
        if leaves.levels > 1:
            raise Leaves(leaves.kind, leaves.levels - 1) from None
        return leaves.kind == "break"
    except Undecided as undecided:
        interpreter.forget(source, node, shell, undecided)
        return True
    except Found:
        shell.notes[f"the command stands in a loop ({source.place(node.start)}): this is its first round"] = None
        raise
    return False


def _unknown_loop(
    interpreter: Interpreter, source: Source, node: Node, shell: Shell, why: Unknown, body: Callable[[Shell], object]
) -> Truth:
    """A loop of nobody knows how many rounds: what it sets is not known behind it."""
    for name in assigned_names(source, node):
        shell.variables[name] = Variable(shell.unknowns.letter(why))
    try:
        interpreter.fork(shell, why, [body, lambda own: None])
    except Undecided as undecided:
        interpreter.forget(source, node, shell, undecided)
    except Leaves as leaves:
        if leaves.kind in ("exit", "return"):
            raise
    for name in assigned_names(source, node):
        shell.variables[name] = Variable(shell.unknowns.letter(why))
    return why
