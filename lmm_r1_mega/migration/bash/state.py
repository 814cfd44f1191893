"""What a shell knows at a point of its script: variables, functions, arguments, the folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lmm_r1_mega.migration.bash.tree import Node, Source
from lmm_r1_mega.migration.bash.unknown import Unknown, Unknowns, as_split, is_letter

Array = Mapping[int | str, str]
Truth = bool | Unknown
"""How a command ends, or why the text does not tell."""


class Leaves(Exception):
    """A statement that ends more than itself: `exit`, `return`, `break`, `continue`."""

    def __init__(self, kind: str, levels: int = 1, truth: Truth = True) -> None:
        super().__init__(kind)
        self.kind, self.levels, self.truth = kind, levels, truth


@dataclass(frozen=True)
class Variable:
    """A value: a text, or texts by number or by name."""

    value: str | Array | None
    """None where it is declared only."""
    is_named: bool = False
    """Whether the elements have names."""
    is_exported: bool = False

    @property
    def elements(self) -> dict[int | str, str]:
        """All elements in order; a text is element 0."""
        if not isinstance(self.value, Mapping):
            return {} if self.value is None else {0: self.value}
        return dict(self.value) if self.is_named else dict(sorted(self.value.items(), key=lambda item: int(item[0])))


@dataclass(frozen=True)
class Function:
    """A function; no body where it is not known which."""

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
    is_child: bool = False
    doubts: dict[str, Unknown] = field(default_factory=dict)
    """Why it is not known whether what stands here is done; by what ends the doubt: a branch, loop or function.

    Whatever is set in doubt becomes unknown.
    """

    def copy(self) -> Shell:
        """The same, to be changed apart."""
        frames = tuple(dict(frame) for frame in self.frames)
        return replace(
            self, variables=dict(self.variables), functions=dict(self.functions), frames=frames, doubts=self.inherited_doubts, is_child=True
        )

    @property
    def doubt(self) -> str:
        """The letter of a doubt, or nothing."""
        return next((self.unknowns.letter(why) for why in self.doubts.values()), "")

    @property
    def inherited_doubts(self) -> dict[str, Unknown]:
        """Doubts inside a function, a loop or a subshell that begins here: they last longer than it."""
        return {"branch": next(iter(self.doubts.values()))} if self.doubts else {}

    def unknown(self, reason: str, *, unset: str = "") -> str:
        """The letter of an unknown value."""
        return self.unknowns.letter(Unknown(reason, unset))

    def get(self, name: str) -> Variable:
        """A variable; one without value where there is none."""
        return self.variables.get(name, Variable(None))

    def store(self, name: str, variable: Variable) -> None:
        """Put a variable in place of another."""
        self.variables[name] = replace(variable, value=self.doubt or variable.value)

    def set(self, name: str, value: str | Array, key: int | str | None = None) -> None:
        """Give a variable a value, or one of its elements."""
        old = self.get(name)
        if isinstance(value, str) and (key is not None or isinstance(old.value, Mapping)):
            first: int | str = "0" if old.is_named else 0
            value = {**old.elements, (first if key is None else key): value}
        self.store(name, replace(old, value=value, is_exported=old.is_exported or "allexport" in self.options))

    def set_arguments(self, arguments: tuple[str, ...]) -> None:
        """Give the script or the function that runs other arguments."""
        self.arguments = (as_split(self.doubt),) if self.doubts else arguments

    def enter(self, folder: str) -> None:
        """Go to a folder."""
        self.folder = self.doubt or folder
        self.variables["PWD"] = Variable(self.folder, is_exported=True)

    def hide(self, name: str) -> None:
        """Make a variable one of the function that runs."""
        if self.frames and name not in self.frames[-1]:
            self.frames[-1][name] = self.variables.get(name)
            self.variables[name] = Variable(None)

    def restore(self, variables: Mapping[str, Variable | None]) -> None:
        """Put back what a function or a command had variables of its own for."""
        for name, variable in variables.items():
            self.variables.pop(name, None)
            self.variables |= {name: variable} if variable is not None else {}

    def print(self, text: str) -> None:
        """Write what is known only while the script runs as the letter of why."""
        if self.output is not None:
            self.output.append(self.doubt or text)

    def decided(self, text: str) -> str:
        """A text that a decision hangs on: variables that are not there are empty, as bash has them here, and a note says so."""
        known = ""
        for letter in text:
            name = self.unknowns.behind(letter).unset if is_letter(letter) else ""
            known += "" if name else letter
            if name:
                self.notes[f"{name} is not set, and decisions of the script were taken as bash takes them then"] = None
        return known
