"""Options that belong to a verb and not to the settings."""

from __future__ import annotations

from lmm_r1_mega.commands.verbs import VERBS


def take_flag(arguments: list[str], name: str) -> tuple[bool, list[str]]:
    """Whether a flag is among the arguments, and the others."""
    return name in arguments, [argument for argument in arguments if argument != name]


def take_value(arguments: list[str], name: str) -> tuple[str | None, list[str]]:
    """The value after an option or its `=`, None where the option is absent, and the other arguments.

    Raises:
        ValueError: no value follows the option.
    """
    at = next((at for at, argument in enumerate(arguments) if argument.partition("=")[0] == name), None)
    if at is None:
        return None, arguments
    _, equals, value = arguments[at].partition("=")
    if equals:
        return value, arguments[:at] + arguments[at + 1 :]
    if at + 1 == len(arguments) or arguments[at + 1].startswith("--"):
        raise ValueError(f"{name} needs a value")
    return arguments[at + 1], arguments[:at] + arguments[at + 2 :]


def take_positional(arguments: list[str], count: int, *, verb: str) -> tuple[list[str], list[str]]:
    """The leading `count` arguments of a verb, and the rest.

    Raises:
        ValueError: one is missing.
    """
    found = arguments[:count]
    if len(found) < count or any(argument.startswith("-") for argument in found):
        raise ValueError(VERBS[verb].usage)
    return found, arguments[count:]
