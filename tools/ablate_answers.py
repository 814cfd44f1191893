"""Switches off each rule of the answers in turn and counts the verdicts that move; compares all rules with plain math-verify.

    python tools/ablate_answers.py tests/unit/rewards/answers.jsonl tests/unit/rewards/answers_missed.jsonl

Rules are the rows of the tables (rewrites, parsers, comparisons) and every regular expression; with `--alternatives` also each
alternative of these. Files have lines with `answer`, `response` and `expected` (1, 0, or null). Prints Markdown.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import math_verify
import tyro

import lmm_r1_mega.rewards.answers as package
from lmm_r1_mega.rewards.answers import equality, extract, normalize, parse

MODULES = [importlib.import_module(f"{package.__name__}.{module.name}") for module in pkgutil.iter_modules(package.__path__)]
CACHES = [value for module in MODULES for value in vars(module).values() if hasattr(value, "cache_clear")]
NEVER = re.compile(r"(?!)")
Verdict = bool | str | None


class Case(NamedTuple):
    """A gold answer, a response, whether an answer block is asked for, and what it should earn."""

    gold: Any
    response: str
    has_block: bool
    expected: int | None


class Switch:
    """Stands for a regular expression, notes the cases that it matches, and can be set to another."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.original = self.pattern = pattern
        self.cases: set[Case] = set()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.pattern, name)
        if self.pattern.search is method or not callable(method):
            return method

        def noting(*args: Any, **options: Any) -> Any:
            text = args[1] if name in ("sub", "subn") else args[0]
            if running and self.pattern.search(text):
                self.cases.add(running[-1])
            return method(*args, **options)

        return noting


running: list[Case] = []
"""The case whose verdict is being worked out."""


def main(files: Annotated[list[Path], tyro.conf.Positional], *, alternatives: bool = False) -> None:
    """Print the table.

    Args:
        files: JSON Lines of cases.
        alternatives: Whether to switch off each alternative of each regular expression too.
    """
    cases = [case for file in files for case in read(file)]
    plain = sum(plain_verdict(case) == case.expected for case in cases if case.expected is not None)
    remember_algebra()
    switches, rows = install_switches(), note_rows()
    before = {}
    for case in cases:
        running[:] = [case]
        before.update(verdicts([case]))
    running.clear()
    labelled = [case for case in cases if case.expected is not None]
    right = sum(before[case] == case.expected for case in labelled)
    print(f"{len(labelled)} labelled cases: {right} as labelled by these rules, {plain} by math-verify alone.\n")
    groups: dict[str, list[str]] = {}
    for name, matching, ablated in ablations(switches, rows, alternatives=alternatives):
        after = ablated(matching)
        group, rule = re.split(": |[.]", name.strip("`"), maxsplit=1)
        groups.setdefault(group, []).append(f"`{rule}` {sum(after[case] != before[case] for case in matching)}")
    print("| rules | verdicts that move without it |\n|---|---|")
    for group, rules in groups.items():
        print(f"| {group} | {', '.join(rules)} |")


def read(file: Path) -> Iterator[Case]:
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        has_block = "</answer>" in row["response"]
        yield Case(row["answer"], row["response"] if has_block else f" {row['response']} ", has_block, row.get("expected"))


def verdicts(cases: list[Case]) -> dict[Case, Verdict]:
    for cache in CACHES:
        cache.cache_clear()
    return {case: verdict(case) for case in cases}


def verdict(case: Case) -> Verdict:
    try:
        if problem := equality.gold_problem(case.gold):
            return problem
        region = extract.answer_region(case.response, block_asked=case.has_block)
        return region is not None and equality.answers_gold(extract.gold_text(case.gold), region)
    except Exception as error:  # a rule that is off may let through what another was written for
        return type(error).__name__


def plain_verdict(case: Case) -> bool:
    gold, answer = math_verify.parse(f"${extract.gold_text(case.gold)}$"), math_verify.parse(case.response)
    return bool(math_verify.verify(gold, answer))


def remember_algebra() -> None:
    """Works out each pair of texts once for all ablations: nothing of it depends on the rules."""
    known: dict[tuple[str, str], bool] = {}
    work_out = vars(equality)["algebra_equal"]

    def remembered(gold: str, answer: str) -> bool:
        if (gold, answer) not in known:
            known[gold, answer] = work_out(gold, answer)
        return known[gold, answer]

    vars(equality)["algebra_equal"] = remembered


def install_switches() -> dict[str, Switch]:
    """A switch in the place of every regular expression, also of those in tables, by module and name."""
    switches: dict[re.Pattern[str], Switch] = {}
    names: dict[str, Switch] = {}

    def switched(value: Any, name: str) -> Any:
        if isinstance(value, re.Pattern):
            names.setdefault(name, switches.setdefault(value, Switch(value)))
            return switches[value]
        if isinstance(value, normalize.Rewrite):
            return replace(value, pattern=switched(value.pattern, f"rewrite: {value.purpose}"))
        if isinstance(value, tuple) and type(value) is tuple:
            return tuple(switched(part, name if isinstance(part, normalize.Rewrite) else f"{name} {n}") for n, part in enumerate(value))
        return value

    for module in MODULES:
        for name, value in list(vars(module).items()):
            if isinstance(value, re.Pattern | tuple):
                setattr(module, name, switched(value, f"{module.__name__.rpartition('.')[2]}.{name}"))
    return {name: switch for name, switch in names.items() if name in {switch: name for name, switch in reversed(names.items())}.values()}


def note_rows() -> dict[str, tuple[Any, str, int, set[Case]]]:
    """The rows with functions, by name: module, table, number, and the cases in which the function said something."""
    rows: dict[str, tuple[Any, str, int, set[Case]]] = {}
    for module, table in ((parse, "NOTATIONS"), (parse, "RELATIONS"), (parse, "VALUES"), (equality, "COMPARISONS")):
        noted = []
        for number, row in enumerate(getattr(module, table)):
            *kinds, function = row if isinstance(row, tuple) else (row,)
            named = " x ".join(getattr(kind, "__name__", str(kind).replace(f"{package.__name__}.kinds.", "")) for kind in kinds)
            name = f"comparison: {named.replace('|', 'or')}" if kinds else f"parser: {function.__name__.strip('_')}"
            rows[name] = (module, table, number, set())
            noting = note_calls(function, rows[name][3])
            noted.append((*kinds, noting) if kinds else noting)
        setattr(module, table, tuple(noted))
    return rows


def note_calls(function: Callable[..., Any], cases: set[Case]) -> Callable[..., Any]:
    def noting(*args: Any) -> Any:
        result = function(*args)
        if running and result is not None:
            cases.add(running[-1])
        return result

    return noting


def ablations(
    switches: dict[str, Switch], rows: dict[str, tuple[Any, str, int, set[Case]]], *, alternatives: bool
) -> Iterator[tuple[str, list[Case], Callable[[list[Case]], dict[Case, Verdict]]]]:
    """The name of a rule, the cases that it concerns, and their verdicts without it."""
    for name, (module, table, number, cases) in rows.items():
        yield name, list(cases), without_row(module, table, number)
    for name, switch in switches.items():
        if name.startswith("algebra."):
            continue  # these decide what is given to the algebra at all
        yield name, list(switch.cases), with_pattern(switch, NEVER)
        for text, pattern in without_alternatives(switch.original) if alternatives else ():
            yield f"{name} without {text}".replace("|", "\\|"), list(switch.cases), with_pattern(switch, pattern)


def without_row(module: Any, table: str, number: int) -> Callable[[list[Case]], dict[Case, Verdict]]:
    def ablated(cases: list[Case]) -> dict[Case, Verdict]:
        rows = getattr(module, table)
        setattr(module, table, (*rows[:number], *rows[number + 1 :]))
        after = verdicts(cases)
        setattr(module, table, rows)
        return after

    return ablated


def with_pattern(switch: Switch, pattern: re.Pattern[str]) -> Callable[[list[Case]], dict[Case, Verdict]]:
    def ablated(cases: list[Case]) -> dict[Case, Verdict]:
        switch.pattern = pattern
        after = verdicts(cases)
        switch.pattern = switch.original
        return after

    return ablated


def without_alternatives(pattern: re.Pattern[str]) -> Iterator[tuple[str, re.Pattern[str]]]:
    """Each alternative of a regular expression, and the expression without it; none that would move the numbers of groups."""
    text = pattern.pattern
    openings, bars = [-1], {-1: [-1]}
    for sign in re.finditer(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?(?:[:=!]|<[=!]|P<\w+>|[a-z]+\)))?|[|)]", text, re.DOTALL):
        if sign[0].startswith("(") and not sign[0].endswith(")"):
            openings.append(sign.start())
            bars[sign.start()] = [sign.end() - 1]
        elif sign[0] in "|)":
            bars[openings[-1]].append(sign.start())
            if sign[0] == ")":
                openings.pop()
    bars[-1].append(len(text))
    for cuts in bars.values():
        for number in range(len(cuts) - 1 if len(cuts) > 2 else 0):
            start, end = cuts[number : number + 2]
            rest = text[: start + 1] + text[end + 1 :] if number < len(cuts) - 2 else text[:start] + text[end:]
            try:
                shorter = re.compile(rest, pattern.flags)
            except re.error:
                continue
            if shorter.groups == pattern.groups:
                yield text[start + 1 : end], shorter


if __name__ == "__main__":
    tyro.cli(main)
