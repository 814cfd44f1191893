"""What is migrated: the `train_ppo_ray` command of a shell script, with its words as bash would hand them over, or its flags."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from lmm_r1_mega.migration.bash.builtins import BUILTINS
from lmm_r1_mega.migration.bash.commands import run_commands
from lmm_r1_mega.migration.bash.interpreter import Interpreter, Program, TrainingReached, Unreadable
from lmm_r1_mega.migration.bash.state import Leave, Shell, Variable
from lmm_r1_mega.migration.bash.tree import parse
from lmm_r1_mega.migration.bash.unknown import Unknowns, first_letter, readable
from lmm_r1_mega.migration.values import Values, read_values

VERIFIER = re.compile(r"(?:.*[./])?remote_rm[./](math_verifier|sokoban_verifier)(?:\.py)?")
"""LMM-R1's reward programs, which its scripts start beside the training."""
VERIFIER_PORT = "5000"
THIS_MACHINE = ("127.0.0.1", "localhost", "0.0.0.0", "::1")
TRAINING = re.compile(r"openrlhf[./]cli[./]train_ppo_ray")


@dataclass(frozen=True)
class ScriptSource:
    """A command as it was read."""

    values: Values
    verifier: str | None
    """Reward program that the script starts and asks, if it is one of LMM-R1's."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingCommand:
    """What follows the program's name, as words; a value that the script does not tell is a letter of `unknowns`."""

    words: tuple[str, ...]
    position: str
    unknowns: Unknowns
    notes: tuple[str, ...]
    programs: tuple[Program, ...]
    """What the script starts before."""


def from_flags(words: Sequence[str]) -> ScriptSource:
    """Flags as they stand on a command line."""
    return ScriptSource(read_values(words), None)


def from_script(script: str, environment: Mapping[str, str], *, name: str = "train.sh", arguments: Sequence[str] = ()) -> ScriptSource:
    """The first `train_ppo_ray` command of a shell script, run under this name with these arguments.

    Raises:
        ValueError: there is none, or a flag of it is wrong; the message names the line.
    """
    command = training_command(script, environment, name=name, arguments=arguments)
    try:
        values = read_values(command.words, command.unknowns)
    except ValueError as error:
        raise ValueError(f"{name}, {command.position}: {error}") from None
    urls = [url.strip() for url in (values["remote_rm_url"] or "").split(",") if url.strip()]
    started = [verifier for program in command.programs if (verifier := _verifier(program)) is not None]
    asked = [kind for kind, port in started if all(_asks(url, port) for url in urls)]
    return ScriptSource(values, asked[0] if asked else None, command.notes)


def training_command(
    script: str, environment: Mapping[str, str], *, name: str = "train.sh", arguments: Sequence[str] = ()
) -> TrainingCommand:
    """The words after `openrlhf.cli.train_ppo_ray` if `name` is run with these arguments in this environment.

    Raises:
        ValueError: the script has no such command, or what it gets cannot be told from the text; the message names the line.
    """
    script = script.replace("\r\n", "\n")
    if first_letter(script):
        raise ValueError(f"{name} has letters of Unicode's private planes: take them out")
    variables = {key: Variable(value, is_exported=True) for key, value in {**environment, "PWD": "."}.items()}
    variables["BASH_SOURCE"] = Variable({0: name})
    shell = Shell(name, Unknowns(), {}, variables, tuple(arguments))
    interpreter = Interpreter(run_commands, BUILTINS)
    try:
        interpreter.run_text(parse(script), shell)
    except (TrainingReached, Leave):
        pass
    except IndexError:
        raise Unreadable("a quote, a bracket or a brace of the script is not closed") from None
    if not interpreter.trainings:
        raise ValueError(_why_none(script))
    (program, inner), *others = interpreter.trainings
    words = program.training_words() or ()
    for other, _ in others:
        if other.training_words() != words:
            raise ValueError(
                f"which train_ppo_ray command runs, that of {program.position} or that of {other.position}, depends on something that the "
                f"script does not tell: leave one of them in it"
            )
    notes = [*shell.notes, *_notes(script, program, inner.folder)]
    return TrainingCommand(words, program.position, shell.unknowns, tuple(notes), tuple(interpreter.programs))


def _notes(script: str, program: Program, folder: str) -> list[str]:
    """What the reader has to know of the command's folder and of the lines behind it."""
    notes = [f"the command runs in the folder {readable(folder)}: paths that are not absolute begin there"] if folder != "." else []
    lines, last = script.splitlines(), program.line
    while 0 < last < len(lines) and lines[last - 1].endswith("\\") and not lines[last].lstrip().startswith("#"):
        last += 1
    behind = [(number, text) for number, text in enumerate(lines, start=1) if number > last > 0 and re.match(r"\s*[^#\s]", text)]
    if behind and re.match(r"\s*--\w", behind[0][1]):
        why = "a comment or a missing \\ ends it before, and bash does not pass what follows"
        notes.append(f"line {behind[0][0]} is not part of the command: {why}")
    if another := next((number for number, text in behind if TRAINING.search(text)), 0):
        notes.append(f"the script has another train_ppo_ray command in line {another}: this is the one of {program.position}")
    return notes


def _why_none(script: str) -> str:
    numbered = enumerate(script.splitlines(), start=1)
    lines = [number for number, line in numbered if TRAINING.search(line) and not line.lstrip().startswith("#")]
    if not lines:
        return "no train_ppo_ray command in the script: give one that has `openrlhf.cli.train_ppo_ray`, or the flags themselves"
    return f"line {lines[0]}: the train_ppo_ray command is not reached: the script ends before, or nothing calls it; check its conditions"


def _verifier(program: Program) -> tuple[str, str] | None:
    """Which of LMM-R1's reward programs this starts, and its port."""
    for number, word in enumerate(program.words[1:], start=1):
        match = VERIFIER.fullmatch(word)
        if match and not program.only_names and (word.endswith(".py") or program.words[number - 1] == "-m"):
            options = program.words[number + 1 :]
            port = re.search(r"--port[= ](\S+)", " ".join(options))
            without_format = match[1] == "math_verifier" and "--disable-format-reward" in options
            return match[1] + " without format" * without_format, port[1] if port else VERIFIER_PORT
    return None


def _asks(url: str, port: str) -> bool:
    """Whether a URL is the program's on the machine of the script."""
    try:
        parts = urlsplit(url)
        return parts.hostname in THIS_MACHINE and str(parts.port or 80) == port and parts.path.rstrip("/") == "/get_reward"
    except ValueError:
        return False
