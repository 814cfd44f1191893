"""What is migrated: a script with a `train_ppo_ray` command, or its flags."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmm_r1_mega.migration.shell import training_command
from lmm_r1_mega.migration.values import Values, read_values

VERIFIERS = ("math_verifier", "sokoban_verifier")
"""LMM-R1's reward programs, which its scripts start beside the training."""


@dataclass(frozen=True)
class Source:
    """A command as it was read."""

    values: Values
    verifier: str | None
    """Reward program that the script starts, where it is one of LMM-R1's."""
    notes: tuple[str, ...] = ()


def from_flags(words: Sequence[str]) -> Source:
    """Flags as they stand on a command line."""
    return Source(read_values(words), None)


def from_script(script: str, environment: Mapping[str, str]) -> Source:
    """The first `train_ppo_ray` command of a shell script.

    Raises:
        ValueError: there is none, or a flag of it is wrong.
    """
    command = training_command(script, environment)
    notes = ["a comment ends the command early, and bash does not pass the flags after it: they are left out here too"]
    return Source(read_values(command.words), _verifier(script), tuple(notes if command.is_cut else ()))


def _verifier(script: str) -> str | None:
    run = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("#"))
    found = next((name for name in VERIFIERS if re.search(rf"\b{name}\b", run)), None)
    return f"{found} without format" if found == "math_verifier" and "--disable-format-reward" in run else found
