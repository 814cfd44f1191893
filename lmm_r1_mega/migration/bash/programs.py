"""Programs that a script starts, and the scripts that some of them are given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lmm_r1_mega.migration.bash.state import Shell
from lmm_r1_mega.migration.bash.tree import Source, parse
from lmm_r1_mega.migration.bash.unknown import first_letter

INTERESTING = "openrlhf"
"""What a script has to name to be followed into."""

_SHELLS = re.compile(r"(?:.*/)?(?:bash|sh|zsh|dash)")
_TALKERS = frozenset({"echo", "printf", "cat", "grep", "egrep", "pgrep", "pkill", "kill", "killall", "sed", "awk", "ls", "tee", "test"})


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
        return self.words[0].rpartition("/")[2] in _TALKERS


def inner_script(program: Program, shell: Shell) -> tuple[Source, Shell] | None:
    """The script that a shell runs, with what it knows there: `bash -c TEXT` or `bash FILE`, whatever stands before."""
    words = program.words
    if program.only_names:
        return None
    start = next((number for number, word in enumerate(words) if _SHELLS.fullmatch(word)), None)
    return _of_shell(words[start + 1 :], program.place, shell) if start is not None and words[start + 1 :] else None


def carried_script(program: Program, shell: Shell) -> tuple[Source, Shell] | None:
    """A text of commands that a program may run elsewhere, as ssh and tmux do: nothing is known of what is set there."""
    text = next((word for word in program.words[1:] if INTERESTING in word and re.search(r"\s", word)), None)
    if text is None or program.only_names:
        return None
    return parse(text, inside=program.place), Shell(script="bash", unknowns=shell.unknowns, notes=shell.notes)


def _of_shell(words: tuple[str, ...], place: str, shell: Shell) -> tuple[Source, Shell] | None:
    options = [word for word in words if re.match(r"-\w", word)]
    rest = [word for word in words if not re.match(r"-\w", word)]
    own = shell.copy()
    own.variables = {name: variable for name, variable in shell.variables.items() if variable.is_exported}
    own.functions, own.options, own.frames, own.output = {}, frozenset(), (), None
    if not rest or first_letter(rest[0]) == rest[0] != "":
        return None
    own.arguments = tuple(rest[1:])
    if any("c" in option for option in options):
        own.arguments, own.script = tuple(rest[2:]), rest[1] if rest[1:] else "bash"
        return (parse(rest[0], inside=place), own) if INTERESTING in rest[0] else None
    path = Path(shell.folder) / rest[0]
    if first_letter(str(path)) or not path.is_file():
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    own.script = rest[0]
    return (parse(text, name=rest[0]), own) if INTERESTING in text else None
