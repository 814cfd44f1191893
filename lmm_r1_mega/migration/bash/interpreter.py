"""Evaluates a script in order, without running anything: which words would a program get?

Programs are not started; what they would print or answer is unknown. A branch that hangs on something unknown is followed in doubt:
what it sets is unknown from there on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lmm_r1_mega.migration.bash.expansion import Expander
from lmm_r1_mega.migration.bash.state import Function, Leaves, Shell, Truth
from lmm_r1_mega.migration.bash.tree import Node, Source, short
from lmm_r1_mega.migration.bash.unknown import Unknown, first_letter

MOST_COMMANDS = 20_000
DEEPEST = 60
QUIET = ("comment", "heredoc_body", "heredoc_start", "heredoc_end")

_TALKER = re.compile(r"(?:.*/)?(?:echo|printf|cat|[ep]?grep|p?kill|killall|sed|awk|ls|tee|test)")
_TRAINING = re.compile(r"(?:.*[./])?openrlhf[./]cli[./]train_ppo_ray(?:\.py)?")


class Unreadable(ValueError):
    """A part of the script that is not followed; the message says what and where."""


class Found(Exception):
    """The training command."""


@dataclass(frozen=True)
class Program:
    """A program with its arguments, its own name first."""

    words: tuple[str, ...]
    place: str
    line: int
    """Counted from 1; 0 where the command stands in no line of the script itself."""

    @property
    def only_names(self) -> bool:
        """Whether it starts nothing that its words name."""
        return _TALKER.fullmatch(self.words[0]) is not None

    def training_words(self) -> tuple[str, ...] | None:
        """The words behind the name of the training program, if that is what is started."""
        for number, word in enumerate(self.words):
            if number and _TRAINING.fullmatch(word) and (word.endswith(".py") or self.words[number - 1] in ("-m", "--module")):
                return None if self.only_names else self.words[number + 1 :]
        return None


@dataclass
class Interpreter:
    """Follows a script until the training command is found."""

    handlers: Mapping[str, Callable[[Interpreter, Source, Node, Shell], Truth]]
    """Kinds of statements, and what follows them."""
    builtins: Mapping[str, Callable[[Any], Truth]]
    programs: list[Program] = field(default_factory=list)
    """All that were started on the way."""
    found: list[tuple[Program, Shell]] = field(default_factory=list)
    """Training commands: the last is certain, those before it were started in doubt."""
    num_commands: int = 0
    depth: int = 0
    substituted: Truth = True
    """How the last `$(...)` ended."""

    def run_text(self, source: Source, shell: Shell) -> Truth:
        """Follow all statements of a text."""
        return self._deeper(lambda: self.block(source, source.root.children, shell, source.root.start))

    def child(self, source: Source, nodes: Sequence[Node], shell: Shell, start: int) -> Truth:
        """Follow statements of another process."""
        try:
            truth = self._deeper(lambda: self.block(source, nodes, shell, start))
        except Leaves as leaves:
            truth = leaves.truth
        return shell.doubts.get("process", truth)

    def _deeper(self, follow: Callable[[], Truth]) -> Truth:
        self.depth += 1
        try:
            if self.depth > DEEPEST:
                raise ValueError("functions call each other without end")
            return follow()
        finally:
            self.depth -= 1

    def count(self) -> None:
        """Refuse loops without end."""
        self.num_commands += 1
        if self.num_commands > MOST_COMMANDS:
            raise ValueError(f"{MOST_COMMANDS} commands without the one that is looked for: is there a loop?")

    def block(self, source: Source, nodes: Sequence[Node], shell: Shell, start: int | None = None) -> Truth:
        """Statements that stand one after the other; nothing else may stand between them."""
        truth: Truth = True
        place = nodes[0].start if start is None and nodes else start
        for number, node in enumerate(nodes, start=1):
            if source.text[place : node.start].replace("\\\n", "").strip():
                raise self._no_bash(source, node.start, node.end)
            place = node.end
            if node.is_named and node.kind not in QUIET:
                is_background = [one.kind for one in nodes[number : number + 1]] == ["&"]
                truth = self.statement(source, node, shell.copy() if is_background else shell) or is_background
        return truth

    def statement(self, source: Source, node: Node, shell: Shell) -> Truth:
        """One statement."""
        line_end = source.text.find("\n", node.end)
        if source.broken is not None and (source.broken <= line_end or line_end < 0):
            raise self._no_bash(source, source.broken, len(source.text))
        try:
            if node.kind not in self.handlers:
                raise ValueError("simplify it")
            return self.handlers[node.kind](self, source, node, shell)
        except Unreadable:
            raise
        except (ValueError, IndexError, RecursionError, re.error) as error:
            reason = "is a quote or a bracket open?" if isinstance(error, IndexError) else error
            raise Unreadable(f"{source.place(node.start)}: `{short(source.of(node))}` is not followed: {reason}") from None

    def expander(self, source: Source, shell: Shell) -> Expander:
        """Expands words of a text."""
        return Expander(shell, source, self.substitute)

    def substitute(self, source: Source, node: Node, shell: Shell) -> str:
        """What `$(...)` gives: what builtins print in it is known, what programs print is not."""
        text, place = source.of(node), source.place(node.start)
        why = Unknown(f"{text} ({place}) is known only where the script runs: write its value in its place")
        letter = shell.unknowns.letter(why)
        if re.fullmatch(r"\$\(\s*<.*\)", text, re.DOTALL):
            self.substituted = why
            return letter
        inner = replace(shell.copy(), output=[])
        self.substituted = self.child(source, node.children[1:-1], inner, node.start + len(node.children[0].kind))
        printed = "".join(inner.output or []).rstrip("\n")
        return letter if UNSEEN in printed else printed

    def call(self, function: Function, arguments: tuple[str, ...], shell: Shell) -> Truth:
        """A function with its arguments."""
        body = function.body
        if body is None:
            raise ValueError("which function this is depends on something that is not known here: simplify the script")
        shell.frames = (*shell.frames, {})
        try:
            return self.until_return(shell, arguments, lambda: self.statement(function.source, body, shell))
        finally:
            shell.restore(shell.frames[-1])
            shell.frames = shell.frames[:-1]

    def until_return(self, shell: Shell, arguments: tuple[str, ...], follow: Callable[[], Truth]) -> Truth:
        """Follow something that has arguments of its own, and that `return` ends."""
        before, doubts = shell.arguments, shell.doubts
        shell.arguments, shell.doubts = arguments, shell.inherited_doubts
        try:
            truth = self._deeper(follow)
        except Leaves as leaves:
            if leaves.kind != "return":
                raise
            truth = leaves.truth
        finally:
            shell.arguments, lasting = before, shell.doubts
            shell.doubts = doubts | {kind: why for kind, why in lasting.items() if kind == "process"}
        return lasting.get("function", truth)

    def in_doubt(self, shell: Shell, why: Unknown, *ways: Callable[[], object]) -> Truth:
        """Follow ways of which nobody knows which is taken: what they set is unknown.

        Behind a `return`, `break` or `continue` on one of them, the doubt lasts until the function or the loop ends, and behind
        an `exit` until the subshell does; behind an `exit` of the script itself there is none, for nothing is of interest then.
        """
        before = shell.doubts
        lasting: dict[str, Unknown] = {}
        for way in ways:
            shell.doubts = {**before, "branch": before.get("branch", why)}
            try:
                way()
            except Leaves as leaves:
                if leaves.levels > 1:
                    raise ValueError(f"which loops end here is not known: {why.reason}") from None
                kind = {"exit": "process", "return": "function"}.get(leaves.kind, "loop")
                lasting |= {kind: why} if shell.is_child or kind != "process" else {}
            lasting |= {kind: doubt for kind, doubt in shell.doubts.items() if kind != "branch"}
        shell.doubts = before | lasting | before
        return why

    def start(self, program: Program, shell: Shell) -> Truth:
        """A program: its answer is not known."""
        if program.training_words() is not None:
            self.found.append((program, shell))
            if not shell.doubts:
                raise Found
        self.programs.append(program)
        shell.print(UNSEEN)
        words = short(" ".join(program.words))
        return Unknown(f"`{'...' if first_letter(words) else words}` ({program.place}) ends as only a run can tell")

    def _no_bash(self, source: Source, start: int, end: int) -> Unreadable:
        text = short(source.text[start:end].strip() or source.text[start - 20 :].strip())
        return Unreadable(f"{source.place(start)}: `{text}` is no bash that can be read here: is a quote or a bracket open?")


UNSEEN = "\U0010ffff"
"""Stands for what a program prints."""
