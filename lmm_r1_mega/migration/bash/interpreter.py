"""Evaluates a script in order, without running anything: which words would a program get?

Programs are not started; what they would print or answer is unknown. Where a branch hangs on something unknown, both ways are
followed, and what differs behind them is unknown from there on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lmm_r1_mega.migration.bash.conditions import Truth
from lmm_r1_mega.migration.bash.expansion import Expander
from lmm_r1_mega.migration.bash.programs import Program
from lmm_r1_mega.migration.bash.reading import assigned_names, short
from lmm_r1_mega.migration.bash.scan import Unreadable
from lmm_r1_mega.migration.bash.state import Function, Shell, Variable, merged
from lmm_r1_mega.migration.bash.tree import Node, Source
from lmm_r1_mega.migration.bash.unknown import Unknown

MOST_COMMANDS = 20_000
DEEPEST = 60
UNSEEN = "\U0010ffff"
"""Stands for what a program prints."""
QUIET = ("comment", "heredoc_body", "heredoc_start", "heredoc_end")


class Leaves(Exception):
    """A statement that ends more than itself: `exit`, `return`, `break`, `continue`."""

    def __init__(self, kind: str, levels: int = 1, truth: Truth = True) -> None:
        super().__init__(kind)
        self.kind, self.levels, self.truth = kind, levels, truth


class Undecided(Exception):
    """A loop or a function ends here on some ways only."""

    def __init__(self, why: Unknown, shell: Shell) -> None:
        super().__init__(why.reason)
        self.why, self.shell = why, shell


class Found(Exception):
    """The command that was looked for."""


@dataclass
class Interpreter:
    """Follows a script until the program is found that `wanted` knows."""

    wanted: Callable[[Program], bool]
    handlers: Mapping[str, Callable[[Interpreter, Source, Node, Shell], Truth]]
    """Kinds of statements, and what follows them."""
    builtins: Mapping[str, Callable[[Any], Truth]]
    programs: list[Program] = field(default_factory=list)
    """All that were started on the way."""
    found: list[tuple[Program, Shell]] = field(default_factory=list)
    """Wanted programs on ways of which it is not known whether they are taken."""
    num_commands: int = 0
    depth: int = 0
    substituted: Truth = True
    """How the last `$(...)` ended."""

    def run_text(self, source: Source, shell: Shell) -> Truth:
        """Follow all statements of a text."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable(f"{source.place(0)}: functions call each other without end")
        try:
            return self.statements(source, source.root, shell)
        finally:
            self.depth -= 1

    def child(self, source: Source, shell: Shell) -> Truth:
        """Follow the script of another process."""
        try:
            return self.run_text(source, shell)
        except Leaves as leaves:
            return leaves.truth

    def statements(self, source: Source, node: Node, shell: Shell) -> Truth:
        """The statements below a node."""
        truth: Truth = True
        place = node.start
        children = node.children
        for number, child in enumerate(children):
            if source.text[place : child.start].replace("\\\n", "").strip():
                raise self._unreadable(source, child.start, child.end)
            place = child.end
            if not child.is_named or child.kind in QUIET:
                continue
            is_background = children[number + 1 : number + 2] and children[number + 1].kind == "&"
            truth = self.statement(source, child, shell.copy() if is_background else shell)
        return truth

    def _unreadable(self, source: Source, start: int, end: int) -> Unreadable:
        text = short(source.text[start:end].strip() or source.text[start - 20 :].strip())
        return Unreadable(f"{source.place(start)}: `{text}` is no bash that can be read here: is a quote or a bracket open?")

    def statement(self, source: Source, node: Node, shell: Shell) -> Truth:
        """One statement."""
        line_end = source.text.find("\n", node.end)
        if source.broken is not None and (source.broken <= line_end or line_end < 0):
            raise self._unreadable(source, source.broken, len(source.text))
        handler = self.handlers.get(node.kind)
        if handler is None:
            raise Unreadable(f"{source.place(node.start)}: `{short(source.of(node))}` is not read here: simplify it")
        try:
            return handler(self, source, node, shell)
        except Unreadable:
            raise
        except (
            ValueError,
            IndexError,
            RecursionError,
            re.error,
        ) as error:  # a quote or bracket that the text does not close is an IndexError
            text = short(source.of(node))
            raise Unreadable(f"{source.place(node.start)}: `{text}` is not read here as bash has it ({error}): simplify it") from None

    def expander(self, source: Source, shell: Shell) -> Expander:
        """Expands words of a text."""
        return Expander(source, shell, self.substitute)

    def substitute(self, source: Source, node: Node, shell: Shell) -> str:
        """What `$(...)` gives: what builtins print in it is known, what programs print is not."""
        text = source.of(node)
        if re.fullmatch(r"\$\(\s*<.*\)", text, re.DOTALL):
            why = Unknown(f"{text} ({source.place(node.start)}) is a file's content: write it in its place")
            self.substituted = why
            return shell.unknowns.letter(why)
        inner = replace(shell.copy(), output=[])
        unknown = shell.unknowns.letter(
            Unknown(f"{text} ({source.place(node.start)}) is known only where the script runs: write its value in its place")
        )
        try:
            truth = self.statements(
                source, replace(node, start=node.start + len(node.children[0].kind), children=node.children[1:-1]), inner
            )
        except Leaves as leaves:
            truth = leaves.truth
        self.substituted = truth
        printed = "".join(inner.output or []).rstrip("\n")
        return unknown if UNSEEN in printed else printed

    def block(self, source: Source, nodes: Sequence[Node], shell: Shell) -> Truth:
        """Statements that stand one after the other."""
        if not nodes:
            return True
        return self.statements(source, Node("block", nodes[0].start, nodes[-1].end, None, True, tuple(nodes)), shell)

    def call(self, function: Function, arguments: Sequence[str], shell: Shell, place: str) -> Truth:
        """A function with its arguments."""
        if function.body is None:
            raise Unreadable(f"{place}: which function this is depends on something that is not known here: simplify the script")
        before = shell.arguments
        shell.arguments = tuple(arguments)
        shell.frames = (*shell.frames, {})
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable(f"{place}: functions call each other without end")
        try:
            truth = self.statement(function.source, function.body, shell)
        except Leaves as leaves:
            if leaves.kind != "return":
                raise
            truth = leaves.truth
        except Undecided as undecided:
            truth = self.forget(function.source, function.body, shell, undecided)
        finally:
            self.depth -= 1
        for name, value in shell.frames[-1].items():
            if value is None:
                shell.variables.pop(name, None)
            else:
                shell.variables[name] = value
        shell.frames = shell.frames[:-1]
        shell.arguments = before
        return truth

    def forget(self, source: Source, node: Node, shell: Shell, undecided: Undecided) -> Truth:
        """Behind a piece of script that ends nobody knows where: what it sets is not known."""
        shell.become(undecided.shell)
        for name in assigned_names(source, node):
            shell.variables[name] = Variable(shell.unknowns.letter(undecided.why))
        return undecided.why

    def fork(self, shell: Shell, why: Unknown, ways: Sequence[Callable[[Shell], object]]) -> None:
        """Follow several ways, of which one is taken; the shell knows afterwards what is the same on all that go on.

        A way that ends the script or finds the command does not go on.
        """
        going, leaving = [], []
        for way in ways:
            own = shell.copy()
            try:
                way(own)
                going.append(own)
            except Found:
                pass
            except Leaves as leaves:
                if leaves.kind != "exit":
                    leaving.append((leaves, own))
            except Undecided as undecided:
                raise Undecided(undecided.why, merged([undecided.shell, *going], why)) from None
        if leaving and (going or len({(leaves.kind, leaves.levels) for leaves, _ in leaving}) > 1):
            raise Undecided(why, merged([*going, *[own for _, own in leaving]], why))
        if not going and not leaving:
            raise Leaves("exit")
        shell.become(merged(going or [own for _, own in leaving], why))
        if leaving:
            raise leaving[0][0]
