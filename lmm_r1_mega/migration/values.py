"""From the words of a `train_ppo_ray` command to the value of each flag."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lmm_r1_mega.migration.bash.unknown import Unknowns, is_split, readable
from lmm_r1_mega.migration.flags import ADDED, ALL_FLAGS, DEFAULTS, FLAGS, RENAMED, Flag


@dataclass(frozen=True)
class Values:
    """Every flag's value, and which flags the command gives."""

    all: Mapping[str, Any]
    present: frozenset[str]
    empty: tuple[str, ...]
    """Flags whose value is an empty text; they count as not given, as there."""
    strange: tuple[str, ...]
    """Flags of the command that the program does not have."""
    is_newer: bool
    """Whether the command is one for OpenRLHF since 2026, whose flags have dots."""

    def __getitem__(self, name: str) -> Any:
        return self.all[name]


@dataclass(frozen=True)
class MigrationInput:
    """The flags of a command, what is known beside them, and what is noted on the way."""

    values: Values
    num_rows: int | None
    """How many rows the data have."""
    verifier: str | None
    """LMM-R1's reward program beside the command."""
    notes: list[str]

    def __getitem__(self, flag: str) -> Any:
        return self.values.all[flag]


def read_values(words: Sequence[str], unknowns: Unknowns | None = None) -> Values:
    """Read flags as the program itself would, its defaults filled in; `unknowns` are values that a script does not tell.

    Example: ["--eps_clip", "0.1", "--bf16"] -> eps_clip 0.1, bf16 True, all others as they are by default

    Raises:
        ValueError: a flag has a value of another kind, or one that is not known and matters.
    """
    present: dict[str, Any] = {}
    empty, strange, is_newer = [], [], False
    unknowns = unknowns or Unknowns()
    for shown, texts in _groups(words, unknowns):
        name = _full_name(shown)
        if name is None:
            strange.append(shown)
            continue
        is_newer = is_newer or "." in shown
        flag = ALL_FLAGS[name]
        _check_known(shown, flag, texts, unknowns)
        if texts == [""] and flag.kind == "text":
            empty.append(name)
            present.pop(name, None)
        else:
            present[name] = _value(shown, flag, texts)
    defaults = {name: flag.default for name, flag in ALL_FLAGS.items()} | (DEFAULTS if is_newer else {})
    return Values(defaults | present, frozenset(present), tuple(empty), tuple(strange), is_newer)


def _groups(words: Sequence[str], unknowns: Unknowns) -> Iterator[tuple[str, list[str]]]:
    """Each flag with the words that follow it."""
    starts = [number for number, word in enumerate(words) if word.startswith("--") and not word[2:3].isdigit()]
    if words and 0 not in starts:
        unknown = unknowns.first(words[0])
        raise ValueError(unknown.reason if unknown else f"{words[0]} stands before the first flag: give flags as --name value")
    for start, end in pairwise([*starts, len(words)]):
        name, equals, value = words[start][2:].partition("=")
        if (unknown := unknowns.first(name)) is not None:
            raise ValueError(f"--{readable(name)}: {unknown.reason}")
        yield name, [*([value] if equals else []), *words[start + 1 : end]]


def _full_name(shown: str) -> str | None:
    """The flag that a name means: the program takes any beginning that no other flag has."""
    names = [*RENAMED, *ADDED] if "." in shown else [*FLAGS]
    matches = [shown] if shown in names else [name for name in names if name.startswith(shown)]
    return RENAMED.get(matches[0], matches[0]) if len(matches) == 1 else None


def _check_known(name: str, flag: Flag, texts: list[str], unknowns: Unknowns) -> None:
    """A value that the script does not tell is an error if something follows from it, or if it might be more words than one."""
    is_list = flag.values == "many" and any(map(is_split, texts))
    unknown = unknowns.first("".join(texts))
    if unknown and (flag.settings or flag.is_missed or is_list or not _fits(flag, texts)):
        raise ValueError(f"--{name}: {unknown.reason}")


def _fits(flag: Flag, texts: list[str]) -> bool:
    return {"one": len(texts) == (flag.kind != "switch"), "pair": len(texts) == 2, "many": True}[flag.values]


def _value(name: str, flag: Flag, texts: list[str]) -> Any:
    """The value of one flag."""
    if not _fits(flag, texts):
        takes = "no value" if flag.kind == "switch" else {"one": "one value", "pair": "two values"}[flag.values]
        hint = ": put quotes around a value with blanks" if flag.kind == "text" and texts else ""
        is_key = texts and "run.trackers" in flag.settings  # which stays unsaid
        raise ValueError(f"--{name} takes {takes}, got {f'{len(texts)} words' if is_key else readable(' '.join(texts)) or 'none'}{hint}")
    values = [_parsed(name, flag, text) for text in texts]
    return True if flag.kind == "switch" else values[0] if flag.values == "one" else values


def _parsed(name: str, flag: Flag, text: str) -> Any:
    """One word as what the flag takes."""
    if readable(text) != text:
        return readable(text)
    if flag.choices and text not in flag.choices:
        raise ValueError(f"--{name} {text}: use one of {', '.join(flag.choices)}")
    try:
        return {"int": int, "float": float, "text": str}[flag.kind](text)
    except ValueError:
        raise ValueError(f"--{name} {text}: give a{'n integer' if flag.kind == 'int' else ' number'}") from None


def nearest(name: str) -> str:
    """A flag with what it may have meant.

    Example: "epsclip" -> "--epsclip (did you mean --eps_clip?)"
    """
    near = difflib.get_close_matches(name.replace("-", "_"), [*ALL_FLAGS, *RENAMED], n=1, cutoff=0.75)
    return f"--{name} (did you mean --{near[0]}?)" if near else f"--{name}"
