"""The words of a `train_ppo_ray` command in a shell script: quotes, line continuations, comments and variables as bash has them.

Nothing is run: what the shell would compute stands as `$(...)` in a word, but for `$(pwd)`, which is `.`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

PROGRAM = re.compile(r"openrlhf[./]cli[./]train_ppo_ray(?:\.py)?")
ASSIGNMENT = re.compile(r"(?:^|[;&])[ \t]*(?:export[ \t]+|local[ \t]+|readonly[ \t]+|declare[ \t]+)?(\w+)=", re.MULTILINE)
SPECIAL = re.compile(
    r"(?P<computed>\$\((?:[^()]|\([^()]*\))*\)|`[^`]*`)|\$(?:(?P<plain>\w+)|\{(?P<name>\w+)(?::?-(?P<otherwise>[^}]*))?\})"
)
ESCAPE = re.compile(r"""\\(?P<escaped>["\\$`]|\n)""")
QUOTED = re.compile(f"{ESCAPE.pattern}|{SPECIAL.pattern}")
COMPUTED = "$(...)"
ENDS = frozenset("\n;|&<>()")


@dataclass
class _Words:
    """Words read so far, and the one under way (None between words)."""

    done: list[str] = field(default_factory=list)
    current: str | None = None

    def add(self, text: str) -> None:
        self.current = (self.current or "") + text

    def end(self) -> None:
        if self.current is not None:
            self.done.append(self.current)
        self.current = None


@dataclass(frozen=True)
class Command:
    """What follows the program's name, as words."""

    words: tuple[str, ...]
    is_cut: bool
    """Whether a comment ends the command although lines with flags follow: bash would not pass those either."""


def training_command(script: str, environment: Mapping[str, str]) -> Command:
    """The words after `openrlhf.cli.train_ppo_ray`, where variables of the script and then of the environment are filled in.

    Raises:
        ValueError: the script has no such command.
    """
    script = script.replace("\r\n", "\n")
    found = next((match for match in PROGRAM.finditer(script) if not _line_before(script, match.start()).startswith("#")), None)
    if found is None:
        raise ValueError("no train_ppo_ray command in the script: give one that has `openrlhf.cli.train_ppo_ray`, or the flags themselves")
    variables = dict(environment) | {"PWD": "."}
    for match in ASSIGNMENT.finditer(script, 0, found.start()):
        value, _ = split_words(script[match.end() :], variables)
        variables[match[1]] = value[0] if value and script[match.end()] not in " \t\n" else ""
    text = script[found.end() :]
    if _line_before(script, found.start()).replace('\\"', "").count('"') % 2:
        text = text[: _closing_quote(text)]  # the command is itself the text of another, as in `srun bash -c "..."`
    words, rest = split_words(text, variables)
    return Command(tuple(words), is_cut=bool(re.match(r"#[^\n]*\n\s*--\w", rest)))


def split_words(text: str, variables: Mapping[str, str]) -> tuple[list[str], str]:
    """Words up to the end of the command, and the text from there on.

    Example: `--a "$X y" \\` newline `--b # c`, X = 1 -> ["--a", "1 y", "--b"], "# c"
    """
    words, place = _Words(), 0
    while place < len(text):
        letter = text[place]
        if letter in ENDS or (letter == "#" and words.current is None):
            break
        if letter == "\\" and text[place + 1 : place + 2] == "\n":
            place += 2
        elif letter in " \t":
            words.end()
            place += 1
        else:
            place += _read_piece(text[place:], words, variables)
    if text[place : place + 1] in ("<", ">") and words.current in ("1", "2"):
        words.current = None  # the number of a redirected stream
    words.end()
    return words.done, text[place:]


def _read_piece(text: str, words: _Words, variables: Mapping[str, str]) -> int:
    """Add what stands at the beginning of the text to the word; how many letters that was."""
    if text[0] == "'":
        end = text.find("'", 1)
        words.add(text[1:end] if end > 0 else text[1:])
        return end + 1 if end > 0 else len(text)
    if text[0] == '"':
        end = 1 + _closing_quote(text[1:])
        words.add(QUOTED.sub(lambda match: _value(match, variables), text[1:end]))
        return end + 1
    if text[0] == "\\":
        words.add(text[1:2])
        return 2
    special = SPECIAL.match(text)
    if special is None:
        words.add(text[0])
        return 1
    first, *others = re.split(r"[ \t\n]+", _value(special, variables))  # unquoted, a value with blanks is several words
    for piece in [first, *others]:
        if piece is not first:
            words.end()
        if piece:
            words.add(piece)
    return special.end()


def _closing_quote(text: str) -> int:
    """Where a double-quoted text ends: at the first quote without a backslash."""
    found = re.search(r'(?<!\\)(?:\\\\)*"', text)
    return found.end() - 1 if found else len(text)


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    """What a variable, a substitution or an escape stands for."""
    found = match.groupdict()
    if found.get("escaped"):
        return found["escaped"].strip("\n")
    if found["computed"]:
        return "." if found["computed"] in ("$(pwd)", "`pwd`") else COMPUTED
    return variables.get(found["plain"] or found["name"], "") or found["otherwise"] or ""


def _line_before(script: str, place: int) -> str:
    """What stands before a place on its line, lines that end with a backslash counted as one."""
    start = place
    while (newline := script.rfind("\n", 0, start)) >= 0 and script[newline - 1 : newline] == "\\":
        start = newline
    return script[newline + 1 : place].lstrip()
