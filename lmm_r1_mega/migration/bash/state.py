"""What a shell knows at a point of its script: variables, functions, arguments, the folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lmm_r1_mega.migration.bash.tree import Node, Source
from lmm_r1_mega.migration.bash.unknown import Unknown, Unknowns

Array = Mapping[int | str, str]


@dataclass(frozen=True)
class Variable:
    """A value: a text, or texts by number or by name."""

    value: str | Array | None
    """None where it is declared only."""
    is_named: bool = False
    """Whether the elements have names."""
    is_exported: bool = False
    is_integer: bool = False

    @property
    def elements(self) -> dict[int | str, str]:
        """All elements in order; a text is element 0."""
        if self.value is None:
            return {}
        if isinstance(self.value, str):
            return {0: self.value}
        return dict(self.value) if self.is_named else dict(sorted(self.value.items(), key=lambda item: int(item[0])))


@dataclass(frozen=True)
class Function:
    """A function, or None for one that is defined on some ways through the script only."""

    source: Source
    body: Node | None


@dataclass
class Shell:
    """One shell; a copy is what a subshell gets."""

    script: str
    """$0."""
    unknowns: Unknowns
    notes: dict[str, None]
    """What the reader has to know; shared by all copies."""
    variables: dict[str, Variable] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    folder: str = "."
    options: frozenset[str] = frozenset()
    frames: tuple[dict[str, Variable | None], ...] = ()
    """Of each function that runs: what its local variables hide."""
    is_open: Unknown | None = None
    """Why variables may be set that are not set here, such as a file that was not read."""
    output: list[str] | None = None
    """Where what is printed goes, inside `$(...)`."""

    def copy(self) -> Shell:
        """The same, to be changed apart."""
        frames = tuple(dict(frame) for frame in self.frames)
        return replace(self, variables=dict(self.variables), functions=dict(self.functions), frames=frames)

    def become(self, other: Shell) -> None:
        """Take over what another one knows."""
        for name in ("variables", "functions", "arguments", "folder", "options", "frames", "is_open"):
            setattr(self, name, getattr(other, name))

    def unknown(self, reason: str, *, unset: str = "") -> str:
        """The letter of an unknown value."""
        return self.unknowns.letter(Unknown(reason, unset))

    def get(self, name: str) -> Variable:
        """A variable; one without value where there is none."""
        return self.variables.get(name, Variable(None))

    def set(self, name: str, value: str | Array) -> None:
        """Give a variable a value, or the element `name[key]` of one."""
        base, bracket, key = name.partition("[")
        old = self.get(base)
        if bracket:
            value = old.elements | {(key[:-1] if old.is_named else self.index(key[:-1], old)): str(value)}
        elif isinstance(value, str) and isinstance(old.value, Mapping):
            value = old.elements | {"0" if old.is_named else 0: value}
        exports = old.is_exported or "allexport" in self.options
        self.variables[base] = replace(old, value=value, is_exported=exports)

    def index(self, key: str, variable: Variable) -> int:
        """The number of an element; negative ones count from the end."""
        number = int(key or 0)
        return number if number >= 0 else max(map(int, variable.elements), default=-1) + 1 + number

    def hide(self, name: str) -> None:
        """Make a variable one of the function that runs."""
        if self.frames and name not in self.frames[-1]:
            self.frames[-1][name] = self.variables.get(name)
            self.variables[name] = Variable(None)

    def decided(self, text: str) -> str:
        """A text that a decision hangs on: variables that are not there are empty, as bash has them here, and a note says so."""
        for name in self.unknowns.unset_names(text):
            self.note_unset(name)
        return self.unknowns.without_unset(text)

    def note_unset(self, name: str) -> None:
        """Say that a decision took a variable for what it is here: not set."""
        self.notes[f"{name} is not set, and decisions of the script were taken as bash takes them then"] = None


def merged(shells: Sequence[Shell], why: Unknown) -> Shell:
    """What is known after one of several ways was taken: what is the same on all."""
    first, *others = shells
    result = first.copy()
    letter = result.unknowns.letter(why)
    for other in others:
        for name in first.variables.keys() | other.variables.keys():
            if result.variables.get(name) != other.variables.get(name):
                result.variables[name] = Variable(letter)
        for name in first.functions.keys() | other.functions.keys():
            found = result.functions.get(name) or other.functions[name]
            if result.functions.get(name) != other.functions.get(name):
                result.functions[name] = replace(found, body=None)
        if result.arguments != other.arguments:
            result.arguments = (result.unknowns.letter(why),)
            result.is_open = why
        if result.folder != other.folder:
            result.folder = letter
        result.options &= other.options
        result.is_open = result.is_open or other.is_open
    return result
