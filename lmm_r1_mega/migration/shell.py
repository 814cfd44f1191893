"""The `train_ppo_ray` command of a shell script: its words as bash would hand them to the program."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmm_r1_mega.migration.bash.builtins import BUILTINS
from lmm_r1_mega.migration.bash.interpreter import Found, Interpreter, Leaves
from lmm_r1_mega.migration.bash.programs import Program
from lmm_r1_mega.migration.bash.scan import Unreadable
from lmm_r1_mega.migration.bash.state import Shell, Variable
from lmm_r1_mega.migration.bash.statements import HANDLERS
from lmm_r1_mega.migration.bash.tree import parse
from lmm_r1_mega.migration.bash.unknown import Unknowns, is_letter, readable

PROGRAM = re.compile(r"(?:.*[./])?openrlhf[./]cli[./]train_ppo_ray(?:\.py)?")


@dataclass(frozen=True)
class Command:
    """What follows the program's name, as words; a value that the script does not tell is a letter of `unknowns`."""

    words: tuple[str, ...]
    place: str
    unknowns: Unknowns
    notes: tuple[str, ...]
    programs: tuple[Program, ...]
    """What the script starts before."""


def training_command(script: str, environment: Mapping[str, str], *, name: str = "train.sh", arguments: Sequence[str] = ()) -> Command:
    """The words after `openrlhf.cli.train_ppo_ray` where `name` is run with these arguments in this environment.

    Raises:
        ValueError: the script has no such command, or what it gets cannot be told from the text; the message names the line.
    """
    script = script.replace("\r\n", "\n")
    if any(map(is_letter, script)):
        raise ValueError(f"{name} has letters of Unicode's private planes: take them out")
    unknowns, notes = Unknowns(), dict[str, None]()
    variables = {key: Variable(value, is_exported=True) for key, value in {**environment, "PWD": "."}.items()}
    variables["BASH_SOURCE"] = Variable({0: name})
    shell = Shell(name, unknowns, notes, variables=variables, arguments=tuple(arguments))
    interpreter = Interpreter(lambda program: _after_program(program) is not None, HANDLERS, BUILTINS)
    try:
        interpreter.run_text(parse(script), shell)
    except (Found, Leaves):
        pass
    except IndexError:
        raise Unreadable("a quote, a bracket or a brace of the script is not closed") from None
    if not interpreter.found:
        raise ValueError(_why_none(script))
    return _command(script, interpreter, unknowns, notes)


def _command(script: str, interpreter: Interpreter, unknowns: Unknowns, notes: dict[str, None]) -> Command:
    (program, shell), *others = interpreter.found
    words = _after_program(program)
    assert words is not None
    for other, _ in others:
        if _after_program(other) != words:
            raise ValueError(
                f"which train_ppo_ray command runs, that of {program.place} or that of {other.place}, depends on something that the script "
                f"does not tell: leave one of them in it"
            )
    if shell.folder != ".":
        notes[f"the command runs in the folder {readable(shell.folder)}: paths that are not absolute begin there"] = None
    lines = script.splitlines()
    last = _last_line(lines, program.line)
    if cut := _cut(lines, last):
        notes[f"line {cut} is not part of the command: a comment or a missing \\ ends it before, and bash does not pass what follows"] = (
            None
        )
    more = [number for number in _lines_with_program(script) if number > last > 0]
    if more:
        notes[f"the script has another train_ppo_ray command in line {more[0]}: this is the one of {program.place}"] = None
    return Command(words, program.place, unknowns, tuple(notes), tuple(interpreter.programs))


def _after_program(program: Program) -> tuple[str, ...] | None:
    """The words behind the program's name, if that is what is started."""
    if program.only_names:
        return None
    for number, word in enumerate(program.words):
        if number and PROGRAM.fullmatch(word) and (word.endswith(".py") or program.words[number - 1] in ("-m", "--module")):
            return program.words[number + 1 :]
    return None


def _last_line(lines: list[str], line: int) -> int:
    """The last line of the command that begins in a line, 0 where it stands in none."""
    while 0 < line < len(lines) and lines[line - 1].endswith("\\") and not lines[line].lstrip().startswith("#"):
        line += 1
    return line


def _cut(lines: list[str], last: int) -> int | None:
    """The line behind a command that looks as if it should be part of it."""
    behind = ((number, text.strip()) for number, text in enumerate(lines[last:], start=last + 1))
    number, text = next(((number, text) for number, text in behind if text and not text.startswith("#")), (0, ""))
    return number if last and re.match(r"--\w", text) else None


def _why_none(script: str) -> str:
    lines = _lines_with_program(script)
    if not lines:
        return "no train_ppo_ray command in the script: give one that has `openrlhf.cli.train_ppo_ray`, or the flags themselves"
    return f"line {lines[0]}: the train_ppo_ray command is not reached: the script ends before, or nothing calls it; check its conditions"


def _lines_with_program(script: str) -> list[int]:
    found = re.compile(r"openrlhf[./]cli[./]train_ppo_ray")
    return [number for number, line in enumerate(script.splitlines(), start=1) if found.search(line) and not line.lstrip().startswith("#")]
