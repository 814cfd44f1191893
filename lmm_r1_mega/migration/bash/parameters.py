"""What `$x`, `${x[@]}` and the operators behind them give."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from lmm_r1_mega.migration.bash import patterns
from lmm_r1_mega.migration.bash.state import Shell
from lmm_r1_mega.migration.bash.unknown import as_split, first_letter, is_split

Sliced = TypeVar("Sliced", str, tuple[str, ...])
Kind = Literal["one", "list", "joined"]

_AT_RUN_TIME = re.compile(
    "RANDOM|SECONDS|HOSTNAME|E?UID|LINENO|BASHPID|PPID|EPOCHSECONDS|OSTYPE|DIRSTACK|GROUPS|PIPESTATUS|FUNCNAME|BASH_VERS.*|OLDPWD"
)
_SPECIAL = "@*#?$!-"


@dataclass(frozen=True)
class Parameter:
    """A value, or a list of them."""

    values: tuple[str, ...]
    kind: Kind = "one"
    """`joined` is the list of `*`, one text inside quotes."""
    is_set: bool = True

    def each(self, change: Callable[[str], str]) -> Parameter:
        """With every value changed; what cannot be known stays unknown."""
        return replace(self, values=tuple(first_letter(value) or change(value) for value in self.values))


@dataclass
class Parameters:
    """Looks variables up, and applies operators to them."""

    shell: Shell

    def look_up(self, name: str, place: str, *, key: str | None = None, sign: str = "") -> Parameter:
        """A variable, an argument of the script or a special one; `sign` is that of `${#x}` or `${!x}`."""
        if sign == "!" and key is None:
            pointed = self.look_up(name, place).values[0]
            base, _, index = pointed.partition("[")
            unknown = first_letter(pointed)
            return Parameter((unknown,)) if unknown else self.look_up(base, place, key=index[:-1] or None)
        if name.isdigit() or name in _SPECIAL:
            return self._measured(self._special(name, place), sign)
        variable = self.shell.get(name)
        elements = variable.elements
        unsure = first_letter(key or "")
        if isinstance(variable.value, str) and key not in (None, "0"):
            unsure = unsure or first_letter(variable.value)  # perhaps it is a list
        if not variable.is_named and key is not None:
            unsure = unsure or next(filter(is_split, elements.values()), "") if key not in ("@", "*") or sign else unsure
        if unsure:
            return Parameter((as_split(unsure),))
        if key in ("@", "*") and (name in self.shell.variables or not self.shell.is_open):
            kind: Kind = "list" if key == "@" else "joined"
            values = tuple(map(str, elements)) if sign == "!" else tuple(elements.values())
            return Parameter((str(len(values)),)) if sign == "#" else Parameter(values, kind, is_set=bool(values))
        found = elements.get("0" if key is None else key) if variable.is_named else elements.get(self.index(name, key or "0"))
        return self._measured(Parameter((self._missing(name, place),), is_set=False) if found is None else Parameter((found,)), sign)

    def index(self, name: str, key: str) -> int:
        """The number of an element; negative ones count from the end."""
        number = int(key)
        return number if number >= 0 else max(map(int, self.shell.get(name).elements), default=-1) + 1 + number

    def presence(self, parameter: Parameter, *, colon: bool) -> bool | str:
        """Whether it is set (and with a colon: not empty), or the letter of why nobody knows."""
        if not parameter.is_set and self.shell.is_open:
            return self.shell.unknowns.letter(self.shell.is_open)
        rest = self.shell.decided(" ".join(parameter.values))
        if not parameter.is_set or not colon:
            return parameter.is_set and bool(parameter.values)
        letter = first_letter(rest)
        return letter if letter and not rest.replace(letter, "").strip() else bool(rest)

    def part(self, name: str, parameter: Parameter, start: str, size: str | None) -> Parameter:
        """`${x:start:size}` of a text or of a list; the arguments begin with the script's own name."""
        if name in ("@", "*"):
            parameter = replace(parameter, values=(self.shell.script, *parameter.values))
        whole = "".join(parameter.values)
        letter = first_letter(start + (size or ""))
        if parameter.kind == "one" or is_split(whole):
            letter = letter or first_letter(whole)
        if letter:
            return Parameter((as_split(letter) if parameter.kind != "one" else letter,))
        if parameter.kind == "one":
            return parameter.each(lambda text: _part(text, int(start), size))
        return replace(parameter, values=_part(parameter.values, int(start), size))

    def changed(self, parameter: Parameter, sign: str, pattern: str) -> Parameter:
        """`#`, `##`, `%`, `%%`, `^`, `^^`, `,`, `,,`."""
        if letter := first_letter(pattern):
            return replace(parameter, values=(letter,))
        if sign[0] in "#%":
            return parameter.each(lambda text: patterns.strip(text, sign, pattern))
        if pattern or sign == "@":
            raise ValueError("write the value in its place")
        change = str.upper if sign[0] == "^" else str.lower
        return parameter.each(lambda text: change(text) if len(sign) == 2 else change(text[:1]) + text[1:])

    def replaced(self, parameter: Parameter, sign: str, pattern: str, put: str) -> Parameter:
        """`${x/pattern/text}` and `${x//pattern/text}`."""
        if letter := first_letter(pattern + put):
            return replace(parameter, values=(letter,))
        if "&" in put.replace("\\&", ""):
            raise ValueError("versions of bash differ in what & means behind the second /: write \\&")
        pattern, where = (sign[2:] + pattern, "/") if sign.startswith("//") else (pattern, sign[1:])
        return parameter.each(lambda text: patterns.replace(text, pattern, patterns.unquote(put), where=where))

    def _special(self, name: str, place: str) -> Parameter:
        shell = self.shell
        if name in "@*":
            return Parameter(shell.arguments, "list" if name == "@" else "joined", is_set=bool(shell.arguments))
        if name == "0":
            return Parameter((shell.script,))
        if name != "#" and not name.isdigit():
            return Parameter((shell.unknown(f"${name} ({place}) is known only while the script runs: write its value in its place"),))
        before = shell.arguments[: int(name)] if name.isdigit() else shell.arguments
        if unsure := next(filter(is_split, before), ""):
            return Parameter((first_letter(unsure),))
        if name == "#":
            return Parameter((str(len(shell.arguments)),))
        if int(name) <= len(shell.arguments):
            return Parameter((shell.arguments[int(name) - 1],))
        reason = f"the script was given no argument ${name} ({place}): name its arguments behind it"
        return Parameter((shell.unknown(reason, unset=f"${name}"),), is_set=False)

    def _missing(self, name: str, place: str) -> str:
        if _AT_RUN_TIME.fullmatch(name):
            return self.shell.unknown(f"${name} ({place}) is known only while the script runs: write its value in its place")
        if self.shell.is_open:
            return self.shell.unknowns.letter(self.shell.is_open)
        reason = f"{name} ({place}) is set neither in the script nor in the environment: {name}=VALUE lmm-r1-mega migrate ..."
        return self.shell.unknown(reason, unset=name)

    def _measured(self, parameter: Parameter, sign: str) -> Parameter:
        if sign != "#":
            return parameter
        if parameter.kind != "one":
            return self._special("#", "")
        value = parameter.values[0] if parameter.is_set else self.shell.decided(parameter.values[0])
        return Parameter((first_letter(value) or str(len(value)),))


def _part(whole: Sliced, start: int, size: str | None) -> Sliced:
    """Example: "abcd", 1, "2" -> "bc"; "abcd", -2, None -> "cd"; "abcd", 1, "-1" -> "bc" """
    begin = start if start >= 0 else len(whole) + start
    if begin < 0 or size is None:
        return whole[begin:] if begin >= 0 else whole[:0]
    return whole[begin : begin + int(size)] if int(size) >= 0 else whole[begin : len(whole) + int(size)]
