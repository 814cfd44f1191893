"""What a shell knows at a point of its script: variables, functions, arguments, the folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from lmm_r1_mega.migration.bash.tree import Node, Source
from lmm_r1_mega.migration.bash.unknown import Unknown, Unknowns, as_split, is_letter

Truth = bool | Unknown
"""How a command ends, or why the text does not tell."""
Value = str | Mapping[int | str, str] | None
"""A text, texts by number or by name, or nothing if a variable is only declared."""
Scope = Literal["branch", "loop", "function", "process"]
SCOPES: tuple[Scope, ...] = ("branch", "loop", "function", "process")

_AT_RUN_TIME = re.compile(
    "RANDOM|SECONDS|HOSTNAME|E?UID|LINENO|BASHPID|PPID|EPOCHSECONDS|OSTYPE|DIRSTACK|GROUPS|PIPESTATUS|FUNCNAME|BASH_.*|OLDPWD|[^\\w@*#]"
)


class Leave(Exception):
    """A statement that ends more than itself: `exit`, `return`, `break`, `continue`."""

    def __init__(self, kind: str, truth: Truth) -> None:
        super().__init__(kind)
        self.kind, self.truth = kind, truth


@dataclass(frozen=True)
class Variable:
    """A value, and what is known of it."""

    value: Value
    is_named: bool = False
    """Whether the elements have names."""
    is_exported: bool = False
    is_readonly: bool = False

    @property
    def elements(self) -> dict[int | str, str]:
        """All elements in order; a text is element 0."""
        if not isinstance(self.value, Mapping):
            return {} if self.value is None else {0: self.value}
        return dict(self.value) if self.is_named else dict(sorted(self.value.items(), key=lambda item: int(item[0])))


@dataclass(frozen=True)
class Function:
    """A function; no body if it is not known which."""

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
    variables: dict[str, Variable]
    arguments: tuple[str, ...]
    functions: dict[str, Function] = field(default_factory=dict)
    folder: str = "."
    frames: tuple[dict[str, Variable], ...] = ()
    """For each function that runs: what its local variables hide."""
    is_open: Unknown | None = None
    """Why variables may be set that are not set here, such as a file that was not read."""
    output: list[str] | None = None
    """Where what is printed goes, inside `$(...)`."""
    is_child: bool = False
    doubts: dict[Scope, Unknown] = field(default_factory=dict)
    """Why it is not known whether this point is reached, by what ends the doubt. Whatever is set in doubt becomes unknown."""

    def copy(self) -> Shell:
        """The same, to be changed apart."""
        own = replace(self, variables=dict(self.variables), functions=dict(self.functions), is_child=True)
        own.frames, own.doubts = tuple(dict(frame) for frame in self.frames), self._outer_doubts
        return own

    @property
    def doubt(self) -> str:
        """The letter of a doubt, or nothing."""
        return next((self.unknowns.letter(why) for why in self.doubts.values()), "")

    @property
    def _outer_doubts(self) -> dict[Scope, Unknown]:
        return {"branch": next(iter(self.doubts.values()))} if self.doubts else {}

    @contextmanager
    def inside(self, scope: Scope) -> Iterator[None]:
        """A loop or a function: doubts that begin inside end with it, unless something around it ends them."""
        before, self.doubts = self.doubts, self._outer_doubts
        try:
            yield
        finally:
            outer = SCOPES[SCOPES.index(scope) + 1 :]
            self.doubts = before | {kind: why for kind, why in self.doubts.items() if kind in outer}

    def unknown(self, reason: str, *, unset: str = "") -> str:
        """The letter of an unknown value."""
        return self.unknowns.letter(Unknown(reason, unset))

    def missing(self, name: str, position: str) -> tuple[str, bool]:
        """The letter of a variable that the script does not set, and whether bash sets it."""
        if _AT_RUN_TIME.fullmatch(name):
            return self.unknown(f"${name} ({position}) is known only while the script runs: write its value in its place"), True
        if self.is_open:
            return self.unknowns.letter(self.is_open), False
        reason = f"{name} ({position}) is set neither in the script nor in the environment: {name}=VALUE lmm-r1-mega migrate ..."
        if name.isdigit():
            reason, name = f"the script was given no argument ${name} ({position}): name its arguments behind it", f"${name}"
        return self.unknown(reason, unset=name), False

    def get(self, name: str) -> Variable:
        """A variable; one without value if it is not set."""
        return self.variables.get(name, Variable(None))

    def store(self, name: str, variable: Variable) -> None:
        """Put a variable in place of another."""
        if self.get(name).is_readonly:
            raise ValueError(f"{name} is readonly, and bash goes on without it: give it one value")
        self.variables[name] = replace(variable, value=self.doubt or variable.value)

    def set(self, name: str, value: str) -> None:
        """Give a variable a value; that of an array is its first element."""
        old = self.get(name)
        first: int | str = "0" if old.is_named else 0
        self.store(name, replace(old, value={**old.elements, first: value} if isinstance(old.value, Mapping) else value))

    def forget_all(self, reason: str) -> None:
        """Variables may be anything from here on."""
        self.is_open = Unknown(f"{reason}: write its value in its place")
        letter = self.unknowns.letter(self.is_open)
        self.variables |= {name: Variable(letter) for name in self.variables.keys() - {"HOME", "PWD", "PATH", "IFS"}}

    def set_arguments(self, arguments: tuple[str, ...]) -> None:
        """Give the script or the function that runs other arguments."""
        self.arguments = (as_split(self.doubt),) if self.doubts else arguments

    def hide(self, name: str) -> None:
        """Make a variable one of the function that runs."""
        if self.frames and name not in self.frames[-1]:
            self.frames[-1][name] = self.get(name)
            self.variables[name] = Variable(None)

    def print(self, text: str) -> Truth:
        """Write to the output, if something keeps it."""
        if self.output is not None:
            self.output.append(self.doubt or text)
        return True

    def decided(self, text: str) -> str:
        """A text that a decision depends on: variables that are not set are empty, as bash has them then, and a note says so."""
        for letter in dict.fromkeys(filter(is_letter, text)):
            why = self.unknowns.first(letter)
            if why is not None and why.unset:
                text = text.replace(letter, "")
                self.notes[f"{why.unset} is not set, and decisions of the script were taken as bash takes them then"] = None
        return text
