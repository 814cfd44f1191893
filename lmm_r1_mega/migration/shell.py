"""The `train_ppo_ray` command of a shell script: its words as bash would hand them to the program."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmm_r1_mega.migration.bash.builtins import BUILTINS
from lmm_r1_mega.migration.bash.interpreter import Found, Interpreter, Program, Unreadable
from lmm_r1_mega.migration.bash.state import Leaves, Shell, Variable
from lmm_r1_mega.migration.bash.statements import STATEMENTS
from lmm_r1_mega.migration.bash.tree import parse
from lmm_r1_mega.migration.bash.unknown import Unknowns, is_letter, readable

_NAMED = re.compile(r"openrlhf[./]cli[./]train_ppo_ray")


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
    interpreter = Interpreter(STATEMENTS, BUILTINS)
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
    words = program.training_words()
    assert words is not None
    for other, _ in others:
        if other.training_words() != words:
            raise ValueError(
                f"which train_ppo_ray command runs, that of {program.place} or that of {other.place}, depends on something that the script "
                f"does not tell: leave one of them in it"
            )
    if shell.folder != ".":
        notes[f"the command runs in the folder {readable(shell.folder)}: paths that are not absolute begin there"] = None
    lines, last = script.splitlines(), program.line
    while 0 < last < len(lines) and lines[last - 1].endswith("\\") and not lines[last].lstrip().startswith("#"):
        last += 1
    behind = [(number, text) for number, text in enumerate(lines, start=1) if number > last > 0 and re.match(r"\s*[^#\s]", text)]
    for number, _ in [line for line in behind[:1] if re.match(r"\s*--\w", line[1])]:
        why = "a comment or a missing \\ ends it before, and bash does not pass what follows"
        notes[f"line {number} is not part of the command: {why}"] = None
    for number, _ in [line for line in behind if _NAMED.search(line[1])][:1]:
        notes[f"the script has another train_ppo_ray command in line {number}: this is the one of {program.place}"] = None
    return Command(words, program.place, unknowns, tuple(notes), tuple(interpreter.programs))


def _why_none(script: str) -> str:
    lines = [
        number for number, line in enumerate(script.splitlines(), start=1) if _NAMED.search(line.lstrip()) and "#" not in line.lstrip()[:1]
    ]
    if not lines:
        return "no train_ppo_ray command in the script: give one that has `openrlhf.cli.train_ppo_ray`, or the flags themselves"
    return f"line {lines[0]}: the train_ppo_ray command is not reached: the script ends before, or nothing calls it; check its conditions"
