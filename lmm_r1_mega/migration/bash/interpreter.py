"""Evaluates a script in order, without running anything: which words would a program get?

Programs are not started; what they would print or answer is unknown. A branch that depends on something unknown is followed in doubt:
what it sets is unknown from there on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from lmm_r1_mega.migration.bash.conditions import double_brackets, negated, test
from lmm_r1_mega.migration.bash.expansion import Expander
from lmm_r1_mega.migration.bash.state import Function, Leave, Scope, Shell, Truth
from lmm_r1_mega.migration.bash.tree import Node, Source, Span, short
from lmm_r1_mega.migration.bash.unknown import Unknown, first_letter, is_split
from lmm_r1_mega.migration.bash.words import as_pattern, compiled, joined

MOST_STATEMENTS = 20_000
SIMPLE_COMMANDS = ("command", "variable_assignment", "variable_assignments", "declaration_command", "unset_command")
QUIET = ("comment", "heredoc_body", "heredoc_start", "heredoc_end")
UNSEEN = "\U0010ffff"
"""Stands for what a program prints."""
Way = tuple[Callable[[], Truth], Callable[[], Truth]]
"""A condition, and what is done if it holds."""

_TALKER = re.compile(r"(?:.*/)?(?:echo|printf|cat|[ep]?grep|p?kill|killall|sed|awk|ls|tee|test)")
_TRAINING = re.compile(r"(?:.*[./])?openrlhf[./]cli[./]train_ppo_ray(?:\.py)?")


class Unreadable(ValueError):
    """A part of the script that is not followed; the message says which, where and why."""


class TrainingReached(Exception):
    """The training command."""


@dataclass(frozen=True)
class Program:
    """A program with its arguments, its own name first."""

    words: tuple[str, ...]
    position: str
    line: int
    """Counted from 1; 0 if the command stands in no line of the script itself."""

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

    run_commands: Callable[[Interpreter, Source, Node, Shell], Truth]
    builtins: Mapping[str, Callable[[Any], Truth]]
    programs: list[Program] = field(default_factory=list)
    """All that were started on the way."""
    trainings: list[tuple[Program, Shell]] = field(default_factory=list)
    """Training commands: the last is certain, those before it were started in doubt."""
    num_statements: int = 0
    substituted: Truth = True
    """How the last `$(...)` ended."""

    def run_text(self, source: Source, shell: Shell) -> Truth:
        """Follow all statements of a text."""
        return self.block(source, source.root.children, shell, source.root.start_byte)

    def child(self, source: Source, nodes: Sequence[Node], shell: Shell, start: int) -> Truth:
        """Follow statements of another process."""
        try:
            truth = self.block(source, nodes, shell, start)
        except Leave as leave:
            truth = leave.truth
        return shell.doubts.get("process", truth)

    def block(self, source: Source, nodes: Sequence[Node], shell: Shell, start: int) -> Truth:
        """Statements that stand one after the other from `start` on; nothing else may stand between them."""
        truth: Truth = True
        for node, following in zip(nodes, [*nodes[1:], None], strict=True):
            if source.text[start : node.start_byte].replace("\\\n", "").strip():
                raise self._no_bash(source, node.start_byte, node.end_byte)
            start = node.end_byte
            if node.is_named and node.type not in QUIET:
                is_background = following is not None and following.type == "&"
                truth = self.statement(source, node, shell.copy() if is_background else shell) or is_background
        return truth

    def statement(self, source: Source, node: Node, shell: Shell) -> Truth:
        """One statement."""
        line_end = source.text.find("\n", node.end_byte)
        if source.broken is not None and (source.broken <= line_end or line_end < 0):
            raise self._no_bash(source, source.broken, len(source.text))
        self.num_statements += 1
        try:
            if self.num_statements > MOST_STATEMENTS:
                raise ValueError(f"{MOST_STATEMENTS} commands without the one that is looked for: is there a loop?")
            if node.type not in _STATEMENTS:
                raise ValueError("simplify it")
            return _STATEMENTS[node.type](self, source, node, shell)
        except Unreadable:
            raise
        except (ValueError, IndexError, RecursionError, re.error) as error:
            reason = _REASONS.get(type(error), error)
            raise Unreadable(f"{source.position(node.start_byte)}: `{short(source.of(node))}` is not followed: {reason}") from None

    def _no_bash(self, source: Source, start: int, end: int) -> Unreadable:
        text = short(source.text[start:end].strip() or source.text[start - 20 :].strip())
        return Unreadable(f"{source.position(start)}: `{text}` is no bash that can be read here: is a quote or a bracket open?")

    def expander(self, source: Source, shell: Shell) -> Expander:
        """Expands words of a text."""
        return Expander(shell, source, self.substitute)

    def substitute(self, source: Source, node: Node, shell: Shell) -> str:
        """What `$(...)` gives: what builtins print in it is known, what programs print is not."""
        text, position = source.of(node), source.position(node.start_byte)
        why = Unknown(f"{text} ({position}) is known only where the script runs: write its value in its place")
        letter = shell.unknowns.letter(why)
        inner = replace(shell.copy(), output=[])
        self.substituted = self.child(source, node.children[1:-1], inner, node.children[0].end_byte)
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
            shell.variables |= shell.frames[-1]
            shell.frames = shell.frames[:-1]

    def until_return(self, shell: Shell, arguments: tuple[str, ...], follow: Callable[[], Truth]) -> Truth:
        """Follow something that has arguments of its own, and that `return` ends."""
        before, shell.arguments = shell.arguments, arguments
        with shell.inside("function"):
            try:
                truth = follow()
            except Leave as leave:
                if leave.kind != "return":
                    raise
                truth = leave.truth
            finally:
                shell.arguments = before
            return shell.doubts.get("function", truth)

    def in_doubt(self, shell: Shell, why: Unknown, *ways: Callable[[], object]) -> Truth:
        """Follow ways of which nobody knows which is taken: what they set is unknown.

        After a `return`, `break` or `continue` on one of them, the doubt lasts until the function or the loop ends, and after an
        `exit` until the subshell does; after an `exit` of the script itself there is none, for nothing is of interest then.
        """
        before = shell.doubts
        lasting: dict[Scope, Unknown] = {}
        for way in ways:
            shell.doubts = {**before, "branch": before.get("branch", why)}
            try:
                way()
            except Leave as leave:
                lasting |= {_ENDS[leave.kind]: why} if shell.is_child or leave.kind != "exit" else {}
            lasting |= {kind: doubt for kind, doubt in shell.doubts.items() if kind != "branch"}
        shell.doubts = before | lasting | before
        return why

    def start(self, program: Program, shell: Shell) -> Truth:
        """A program: its answer is not known."""
        if program.training_words() is not None:
            self.trainings.append((program, shell))
            if not shell.doubts:
                raise TrainingReached
        self.programs.append(program)
        shell.print(UNSEEN)
        words = short(" ".join(program.words))
        return Unknown(f"`{'...' if first_letter(words) else words}` ({program.position}) ends as only a run can tell")

    def _list(self, source: Source, node: Node, shell: Shell) -> Truth:
        """`a && b`, `a || b`."""
        first, sign, second = [child for child in node.children if child.type not in QUIET]
        truth = self.statement(source, first, shell)
        if isinstance(truth, Unknown):
            return self.in_doubt(shell, truth, lambda: self.statement(source, second, shell))
        return self.statement(source, second, shell) if truth == (sign.type == "&&") else truth

    def _pipeline(self, source: Source, node: Node, shell: Shell) -> Truth:
        """`a | b`: every part in a shell of its own."""
        for child in node.children:
            if child.is_named and child.type not in QUIET:
                with suppress(Leave):
                    self.statement(source, child, replace(shell.copy(), output=None))
        shell.print(UNSEEN)
        return Unknown(f"`{short(source.of(node))}` ({source.position(node.start_byte)}) ends as only a run can tell")

    def _group(self, source: Source, node: Node, shell: Shell) -> Truth:
        """`{ ... }`, `do ... done` or `((...))`."""
        if node.children[0].type == "((":
            return self._is_not_zero(source, shell, (node.start_byte + 2, node.end_byte - 2))
        return self.block(source, node.children[1:-1], shell, node.children[0].end_byte)

    def _is_not_zero(self, source: Source, shell: Shell, span: Span) -> Truth:
        value = self.expander(source, shell).arithmetic(*span, decides=True)
        return shell.unknowns.first(value) or int(value) != 0

    def _test(self, source: Source, node: Node, shell: Shell) -> Truth:
        """`[ ... ]` or `[[ ... ]]`."""
        expander, size = self.expander(source, shell), 2 if source.text.startswith("[[", node.start_byte) else 1
        start, end = node.start_byte + size, node.end_byte - size
        if "\n" in source.text[start:end].replace("\\\n", "") * (size == 1) or not (source.text[start] + source.text[end - 1]).isspace():
            raise ValueError("`[` has no ` ]` on its line: write it there, and blanks inside of both")
        if size == 2:
            return double_brackets(expander, start, end)
        words = [word.text for span in source.words(start, end) for word in expander.fields(*span)]
        return test(words, shell, source.position(node.start_byte))

    def _if(self, source: Source, node: Node, shell: Shell) -> Truth:
        """`if`: the grammar has its clauses among its own statements, and theirs in themselves."""
        clauses = [child for child in node.children if child.type in ("elif_clause", "else_clause")]
        own = [child for child in node.children if child not in clauses and child.type != "fi"]
        ways: list[Way] = []
        for children in (own, *(clause.children for clause in clauses)):
            then = next(number for number, child in enumerate(children) if child.type in ("then", "else"))
            condition = partial(self.block, source, children[1:then], shell, children[0].end_byte)
            body = partial(self.block, source, children[then + 1 :], shell, children[then].end_byte)
            ways.append((condition if then else lambda: True, body))
        return self._first_way(shell, ways)

    def _case(self, source: Source, node: Node, shell: Shell) -> Truth:
        """`case word in pattern) ... esac`"""
        expander, value = self.expander(source, shell), node.children_by_field_name("value")
        text = joined(expander.decided(value[0].start_byte, value[-1].end_byte))
        ways: list[Way] = []
        for item in (child for child in node.children if child.type == "case_item"):
            close = next(number for number, child in enumerate(item.children) if child.type == ")")
            start, end = item.start_byte, item.children[close].end_byte
            body = [child for child in item.children[close + 1 :] if child.type != ";;"]
            if any(child.type in (";&", ";;&") for child in body):
                raise ValueError("it has ;&: write it with if")
            ways.append((partial(_matches, expander, text, (start, end - 1)), partial(self.block, source, body, shell, end)))
        return self._first_way(shell, ways)

    def _first_way(self, shell: Shell, ways: Sequence[Way]) -> Truth:
        """What stands behind the first condition that holds."""
        if not ways:
            return True
        (condition, body), *others = ways
        truth = condition()
        if isinstance(truth, Unknown):
            return self.in_doubt(shell, truth, body, lambda: self._first_way(shell, others))
        return body() if truth else self._first_way(shell, others)

    def _define(self, source: Source, node: Node, shell: Shell) -> Truth:
        """`name() { ... }`"""
        [name], [body] = node.children_by_field_name("name"), node.children_by_field_name("body")
        shell.functions[source.of(name)] = Function(source, None if shell.doubts else body)
        return True

    def _for(self, source: Source, node: Node, shell: Shell) -> Truth:
        """`for name in words`"""
        if node.children[0].type == "select":
            raise ValueError("select asks whoever runs the script: write the answer")
        [variable], values = node.children_by_field_name("variable"), node.children_by_field_name("value")
        words = list(shell.arguments)
        if any(child.type == "in" for child in node.children):
            expander = self.expander(source, shell)
            spans = source.words(values[0].start_byte, values[-1].end_byte) if values else []
            words = [word.text for span in spans for word in expander.fields(*span)]
        rest = iter([new for word in words if (new := shell.decided(word) if is_split(word) else word) or not word])

        def condition() -> Truth:
            word = next(rest, None)
            if word is not None:
                shell.set(source.of(variable), word)
            return shell.unknowns.first(word) or True if word is not None and is_split(word) else word is not None

        return self._loop(source, node, shell, condition)

    def _while(self, source: Source, node: Node, shell: Shell) -> Truth:
        """`while` and `until`."""
        [body] = node.children_by_field_name("body")
        conditions = node.children[1 : node.children.index(body)]

        def condition() -> Truth:
            truth = self.block(source, conditions, shell, node.children[0].end_byte)
            return negated(truth) if node.children[0].type == "until" else truth

        return self._loop(source, node, shell, condition)

    def _c_for(self, source: Source, node: Node, shell: Shell) -> Truth:
        """`for ((i = 0; i < n; i++))`: how many rounds there are is not worked out."""
        [body] = node.children_by_field_name("body")
        head = source.text[node.start_byte : body.start_byte]
        why = Unknown(f"`{short(head)}` ({source.position(node.start_byte)}) is not worked out: write it with `for name in words`")
        for names in re.findall(r"([A-Za-z_]\w*)\s*(?:\+\+|--|[-+*/%]?=(?!=))|(?:\+\+|--)\s*([A-Za-z_]\w*)", head):
            shell.set("".join(names), shell.unknowns.letter(why))
        return self._loop(source, node, shell, lambda: why)

    def _loop(self, source: Source, node: Node, shell: Shell, condition: Callable[[], Truth]) -> Truth:
        """Rounds while the condition holds; if nobody knows how many, until one changes nothing more that is known."""
        [body] = node.children_by_field_name("body")
        last: Truth = True

        def goes_on() -> bool:
            nonlocal last
            try:
                last = self.statement(source, body, shell)
            except Leave as leave:
                if leave.kind not in ("break", "continue"):
                    raise
                last = True
                return leave.kind == "continue"
            except TrainingReached:
                shell.notes[f"the command stands in a loop ({source.position(node.start_byte)}): this is its first round"] = None
                raise
            return True

        def any_rounds() -> None:
            before = None
            while before != (before := (dict(shell.variables), shell.arguments, shell.folder)):
                goes_on()
                condition()

        with shell.inside("loop"):
            while (truth := condition()) is True and goes_on():
                if lasting := [why for kind, why in shell.doubts.items() if kind != "branch"]:  # a round ended here, or did not
                    truth = lasting[0]
                    break
            return self.in_doubt(shell, truth, any_rounds) if isinstance(truth, Unknown) else last


def _matches(expander: Expander, text: str, span: Span) -> Truth:
    """Whether one of the patterns of a case matches."""
    patterns = [as_pattern(expander.decided(*word)) for word in expander.source.words(*span, between="|(")]
    if first_letter("".join(patterns)):
        raise ValueError("one of its patterns is not known here: write it with if")
    return expander.shell.unknowns.first(text) or any(compiled(pattern).fullmatch(text) for pattern in patterns)


_REASONS = {IndexError: "is a quote or a bracket open?", RecursionError: "functions call each other without end"}
_ENDS: Mapping[str, Scope] = {"exit": "process", "return": "function", "break": "loop", "continue": "loop"}
_STATEMENTS: Mapping[str, Callable[[Interpreter, Source, Node, Shell], Truth]] = {
    **dict.fromkeys(
        (*SIMPLE_COMMANDS, "redirected_statement"),
        lambda self, source, node, shell: self.run_commands(self, source, node, shell),
    ),
    "list": Interpreter._list,
    "negated_command": lambda self, source, node, shell: negated(self.statement(source, node.children[-1], shell)),
    "pipeline": Interpreter._pipeline,
    "subshell": lambda self, source, node, shell: self.child(source, node.children[1:-1], shell.copy(), node.start_byte + 1),
    **dict.fromkeys(("compound_statement", "do_group"), Interpreter._group),
    "test_command": Interpreter._test,
    "if_statement": Interpreter._if,
    "case_statement": Interpreter._case,
    "function_definition": Interpreter._define,
    "for_statement": Interpreter._for,
    "while_statement": Interpreter._while,
    "c_style_for_statement": Interpreter._c_for,
}
