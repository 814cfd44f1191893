"""What `$x`, `${x[@]}` and the operators behind them give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from lmm_r1_mega.migration.bash import patterns
from lmm_r1_mega.migration.bash.state import Shell, Variable
from lmm_r1_mega.migration.bash.unknown import first_letter, is_split

Sliced = TypeVar("Sliced", str, tuple[str, ...])


@dataclass(frozen=True)
class Parameter:
    """A value, or a list of them."""

    values: tuple[str, ...]
    kind: Literal["one", "list", "joined"] = "one"
    """`joined` is the list of `*`, one text inside quotes."""
    is_set: bool = True

    def each(self, change: Callable[[str], str]) -> Parameter:
        """With every value changed; what cannot be known stays unknown."""
        return replace(self, values=tuple(first_letter(value) or change(value) for value in self.values))


@dataclass(frozen=True)
class Parameters:
    """Looks variables up, and applies operators to them."""

    shell: Shell

    def look_up(self, name: str, place: str, *, key: str | None = None, sign: str = "") -> Parameter:
        """A variable, an argument of the script or a special one; `sign` is that of `${#x}` or `${!x}`."""
        if "[" in name:
            name, _, key = name[:-1].partition("[")
        if sign == "!" and key is None:
            pointed = self.look_up(name, place).values[0]
            return Parameter((first_letter(pointed),)) if first_letter(pointed) else self.look_up(pointed, place)
        if name.isdigit() or name in ("@", "*", "#", "?", "$", "!", "-"):
            return self._measured(self._special(name, place), sign)
        variable = self.shell.get(name)
        if key is not None and first_letter(key):
            return Parameter((first_letter(key),))
        if isinstance(variable.value, str) and first_letter(variable.value) and key not in (None, "0"):
            return Parameter((first_letter(variable.value),))  # perhaps it is a list
        if key in ("@", "*") and (name in self.shell.variables or not self.shell.is_open):
            return self._list(variable, kind="list" if key == "@" else "joined", keys=sign == "!", count=sign == "#")
        found = self._element(variable, key)
        if found is None:
            return self._measured(self._unset(name, place), sign)
        return self._measured(Parameter((found,)), sign)

    def presence(self, parameter: Parameter, *, colon: bool) -> bool | str:
        """Whether it is set (and with a colon: not empty), or the letter of why nobody knows."""
        if self.shell.is_open and not parameter.is_set:
            return self.shell.unknowns.letter(self.shell.is_open)
        if not parameter.is_set:
            for value in parameter.values:
                self.shell.decided(value)
            return False
        text = " ".join(parameter.values)
        if not colon:
            return bool(parameter.values)
        rest = self.shell.decided(text)
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
            return Parameter((letter,))
        if parameter.kind == "one":
            return replace(parameter, values=tuple(_part(value, int(start), size) for value in parameter.values))
        return replace(parameter, values=_part(parameter.values, int(start), size))

    def changed(self, parameter: Parameter, sign: str, pattern: str, *, place: str) -> Parameter:
        """`#`, `##`, `%`, `%%`, `^`, `^^`, `,`, `,,` and the letters behind `@`."""
        if letter := first_letter(pattern):
            return replace(parameter, values=(letter,))
        if sign == "@":
            ways: dict[str, Callable[[str], str]] = {"U": str.upper, "L": str.lower, "u": lambda text: text[:1].upper() + text[1:]}
            if pattern not in ways:
                raise ValueError(f"{place}: the operator @{pattern} is not read here: write the value in its place")
            return parameter.each(ways[pattern])
        change = patterns.strip if sign[0] in "#%" else patterns.change_case
        return parameter.each(lambda text: change(text, sign, pattern))

    def replaced(self, parameter: Parameter, sign: str, pattern: str, put: str, *, place: str) -> Parameter:
        """`${x/pattern/text}` and `${x//pattern/text}`."""
        if letter := first_letter(pattern + put):
            return replace(parameter, values=(letter,))
        where = "/" if sign.startswith("//") else sign[1:]
        if sign.startswith("//") and sign[2:]:
            pattern = sign[2:] + pattern
        if "&" in put.replace("\\&", ""):
            raise ValueError(f"{place}: versions of bash differ in what & means behind the second /: write \\&")
        text_put = patterns.unquote(put)
        return parameter.each(lambda text: patterns.replace(text, pattern, text_put, where=where))

    def _special(self, name: str, place: str) -> Parameter:
        shell = self.shell
        if name in ("@", "*"):
            return Parameter(shell.arguments, "list" if name == "@" else "joined", is_set=bool(shell.arguments))
        if name == "#":
            unsure = next((one for one in shell.arguments if is_split(one)), None)
            return Parameter((unsure if unsure is not None else str(len(shell.arguments)),))
        if name == "0":
            return Parameter((shell.script,))
        if name.isdigit():
            if int(name) <= len(shell.arguments):
                return Parameter((shell.arguments[int(name) - 1],))
            reason = f"the script was given no argument ${name} ({place}): name its arguments behind it"
            return Parameter((shell.unknown(reason, unset=f"${name}"),), is_set=False)
        return Parameter((shell.unknown(f"${name} ({place}) is known only while the script runs: write its value in its place"),))

    def _unset(self, name: str, place: str) -> Parameter:
        return Parameter((self._missing(name, place),), is_set=False)

    def _missing(self, name: str, place: str) -> str:
        if name in ("RANDOM", "SECONDS", "HOSTNAME", "UID", "EUID", "LINENO", "BASHPID", "PPID", "EPOCHSECONDS", "OSTYPE"):
            return self.shell.unknown(f"${name} ({place}) is known only while the script runs: write its value in its place")
        if self.shell.is_open:
            return self.shell.unknowns.letter(self.shell.is_open)
        reason = f"{name} ({place}) is set neither in the script nor in the environment: {name}=VALUE lmm-r1-mega migrate ..."
        return self.shell.unknown(reason, unset=name)

    def _list(self, variable: Variable, *, kind: Literal["list", "joined"], keys: bool, count: bool) -> Parameter:
        values = tuple(variable.elements.values())
        unsure = next((value for value in values if is_split(value)), None)
        if count or keys:
            if unsure is not None:
                return Parameter((unsure,))
            return Parameter((str(len(values)),)) if count else Parameter(tuple(map(str, variable.elements)), kind)
        return Parameter(values, kind, is_set=bool(values))

    def _element(self, variable: Variable, key: str | None) -> str | None:
        elements = variable.elements
        if any(is_split(value) for value in elements.values()) and key is not None and not variable.is_named:
            return next(value for value in elements.values() if is_split(value))
        if variable.is_named:
            return elements.get("0" if key is None else key)
        return elements.get(self.shell.index(key or "0", variable))

    def _measured(self, parameter: Parameter, sign: str) -> Parameter:
        if sign != "#":
            return parameter
        if parameter.kind != "one":
            return self._special("#", "")
        if not parameter.is_set:
            self.shell.decided(parameter.values[0])
        value = parameter.values[0]
        return Parameter((first_letter(value) or str(len(value)),))


def _part(whole: Sliced, start: int, size: str | None) -> Sliced:
    """Example: "abcd", 1, "2" -> "bc"; "abcd", -2, None -> "cd"; "abcd", 1, "-1" -> "bc" """
    begin = start if start >= 0 else len(whole) + start
    if begin < 0:
        return whole[:0]
    if size is None:
        return whole[begin:]
    return whole[begin : begin + int(size)] if int(size) >= 0 else whole[begin : len(whole) + int(size)]
