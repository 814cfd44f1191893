"""From the words of a `train_ppo_ray` command to the value of each flag."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lmm_r1_mega.migration.flags import FLAGS, Flag
from lmm_r1_mega.migration.shell import COMPUTED

KEYS = ("run.trackers",)
"""Settings of flags whose value, a key or a folder, is not looked at."""


@dataclass(frozen=True)
class Values:
    """Every flag's value, and which flags the command gives."""

    all: Mapping[str, Any]
    given: frozenset[str]
    empty: tuple[str, ...]
    """Flags whose value is a variable without content; they count as not given."""

    def __getitem__(self, name: str) -> Any:
        return self.all[name]


def read_values(words: Sequence[str]) -> Values:
    """Read flags as the program itself would, its defaults filled in.

    Example: ["--eps_clip", "0.1", "--bf16"] -> eps_clip 0.1, bf16 True, all others as they are by default

    Raises:
        ValueError: a flag is unknown, or its value of another kind.
    """
    given: dict[str, Any] = {}
    empty = []
    for name, texts in _groups(words):
        flag = FLAGS[name]
        if not texts and flag.kind != "switch":
            empty.append(name)
        else:
            given[name] = _value(name, flag, texts)
    return Values({name: flag.default for name, flag in FLAGS.items()} | given, frozenset(given), tuple(empty))


def _groups(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each flag with the words that follow it."""
    starts = [place for place, word in enumerate(words) if word.startswith("--") and not word[2:3].isdigit()]
    if words and 0 not in starts:
        raise ValueError(f"{words[0]} stands before the first flag: give flags as --name value")
    for start, end in pairwise([*starts, len(words)]):
        name, equals, value = words[start][2:].partition("=")
        if name not in FLAGS:
            raise ValueError(f"unknown flag --{name}: {_nearest(name)}")
        yield name, [*([value] if equals else []), *words[start + 1 : end]]


def _value(name: str, flag: Flag, texts: list[str]) -> Any:
    """The value of one flag."""
    fits = {"one": len(texts) == (flag.kind != "switch"), "pair": len(texts) == 2, "many": True}
    if not fits[flag.values]:
        takes = "no value" if flag.kind == "switch" else {"one": "one value", "pair": "two values"}[flag.values]
        hint = ": put quotes around a value with blanks" if flag.kind == "text" else ""
        raise ValueError(f"--{name} takes {takes}, got {' '.join(texts) or 'none'}{hint}")
    values = [_number(name, flag, text) for text in texts]
    if flag.kind == "switch":
        return True
    return values[0] if flag.values == "one" else values


def _number(name: str, flag: Flag, text: str) -> Any:
    """One word as what the flag takes."""
    if flag.settings not in ((), KEYS) and COMPUTED in text:
        raise ValueError(f"--{name} {text} is computed by the shell: write its value")
    if flag.choices and text not in flag.choices:
        raise ValueError(f"--{name} {text}: use one of {', '.join(flag.choices)}")
    try:
        return {"int": int, "float": float, "text": str}[flag.kind](text)
    except ValueError:
        raise ValueError(f"--{name} {text}: give a{'n integer' if flag.kind == 'int' else ' number'}") from None


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name.replace("-", "_"), FLAGS, n=1, cutoff=0.5)
    return f"did you mean --{near[0]}?" if near else "LMM-R1's train_ppo_ray, of OpenRLHF 0.7.3, has none of such a name"
