"""What is migrated: a script with a `train_ppo_ray` command, or its flags."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from lmm_r1_mega.migration.bash.interpreter import Program
from lmm_r1_mega.migration.shell import training_command
from lmm_r1_mega.migration.values import Values, read_values

VERIFIER = re.compile(r"(?:.*[./])?remote_rm[./](math_verifier|sokoban_verifier)(?:\.py)?")
"""LMM-R1's reward programs, which its scripts start beside the training."""
VERIFIER_PORT = 5000
HERE = ("127.0.0.1", "localhost", "0.0.0.0", "::1")


@dataclass(frozen=True)
class Source:
    """A command as it was read."""

    values: Values
    verifier: str | None
    """Reward program that the script starts and asks, if it is one of LMM-R1's."""
    notes: tuple[str, ...] = ()


def from_flags(words: Sequence[str]) -> Source:
    """Flags as they stand on a command line."""
    return Source(read_values(words), None)


def from_script(script: str, environment: Mapping[str, str], *, name: str = "train.sh", arguments: Sequence[str] = ()) -> Source:
    """The first `train_ppo_ray` command of a shell script, run under this name with these arguments.

    Raises:
        ValueError: there is none, or a flag of it is wrong; the message names the line.
    """
    command = training_command(script, environment, name=name, arguments=arguments)
    try:
        values = read_values(command.words, command.unknowns)
    except ValueError as error:
        raise ValueError(f"{name}, {command.place}: {error}") from None
    urls = [url for url in (values["remote_rm_url"] or "").split(",") if url.strip()]
    started = [found for program in command.programs if (found := _verifier(program)) is not None]
    asked = [kind for kind, port in started if all(_asks(url.strip(), port) for url in urls)]
    return Source(values, asked[0] if asked else None, command.notes)


def _verifier(program: Program) -> tuple[str, str] | None:
    """Which of LMM-R1's reward programs this starts, and its port."""
    words = program.words
    for number, word in enumerate(words[1:], start=1):
        match = VERIFIER.fullmatch(word)
        if match and not program.only_names and (word.endswith(".py") or words[number - 1] == "-m"):
            options = words[number + 1 :]
            joined = " ".join(options)
            port = re.search(r"--port[= ](\S+)", joined)
            kind = f"{match[1]} without format" if match[1] == "math_verifier" and "--disable-format-reward" in options else match[1]
            return kind, port[1] if port else str(VERIFIER_PORT)
    return None


def _asks(url: str, port: str) -> bool:
    """Whether a URL is the program's on the machine of the script."""
    try:
        parts = urlsplit(url)
        return parts.hostname in HERE and str(parts.port or 80) == port and parts.path.rstrip("/") == "/get_reward"
    except ValueError:
        return False
