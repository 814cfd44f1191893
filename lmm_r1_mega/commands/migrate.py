"""`lmm-r1-mega migrate SCRIPT.sh [ARGUMENT ...]|FLAG ... [--rows N]`"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from lmm_r1_mega.commands.arguments import take_value
from lmm_r1_mega.commands.verbs import VERBS
from lmm_r1_mega.config.reading import parse_tree, to_yaml
from lmm_r1_mega.errors import DONE
from lmm_r1_mega.migration.mapping import Migration, data_files, migrate
from lmm_r1_mega.migration.source import ScriptSource, from_flags, from_script
from lmm_r1_mega.migration.values import nearest

WIDTH = 130


def run(arguments: list[str]) -> int:
    """Print our YAML for a `train_ppo_ray` command; what has no counterpart is named in its first lines and on the error stream."""
    rows, words = take_value(arguments, "--rows")
    if not words:
        raise ValueError(VERBS["migrate"].usage)
    source = from_flags(words) if words[0].startswith("-") else _read_script(words)
    migration = migrate(source.values, num_rows=_num_rows(rows, source), verifier=source.verifier)
    config = parse_tree(migration.tree, source="the migrated settings")
    print("\n".join(_comments(migration, source)))
    print(to_yaml(config, given_only=True), end="")
    if source.values.strange:
        print(f"lmm-r1-mega: left out, for train_ppo_ray has no such flags: {_strange(source)}", file=sys.stderr)
    for name, reason in migration.missed.items():
        print(f"lmm-r1-mega: --{name} changes the run and has no counterpart: {reason}", file=sys.stderr)
    return DONE


def _read_script(words: list[str]) -> ScriptSource:
    name, *arguments = words
    try:
        script = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{name} is no script that can be read ({error}): give one, or flags that begin with --") from None
    return from_script(script, os.environ, name=name, arguments=arguments)


def _strange(source: ScriptSource) -> str:
    return ", ".join(map(nearest, source.values.strange))


def _num_rows(option: str | None, source: ScriptSource) -> int | None:
    """Rows of the data: as said, else counted where the files are here."""
    if option is not None:
        if not option.isdecimal():
            raise ValueError(f"--rows {option}: give the number of rows of the data")
        return int(option)
    files = [Path(name) for name in data_files(source.values["prompt_data"] or "", split=source.values["prompt_split"])]
    if not all(file.is_file() for file in files):
        return None
    from lmm_r1_mega.data.formats.columns import format_of  # pyarrow takes a moment that flags with --rows need not

    return sum(1 for file in files for _ in format_of(file).read(file))


def _comments(migration: Migration, source: ScriptSource) -> Iterator[str]:
    yield "# Written by `lmm-r1-mega migrate`; `lmm-r1-mega plan THIS.yaml` says whether it fits."
    chapters = {
        "To know": [*source.notes, *migration.notes],
        "Changes the run, and has no counterpart": [f"--{name}: {reason}" for name, reason in migration.missed.items()],
        "No flags of train_ppo_ray": [_strange(source)] if source.values.strange else [],
        "Dropped": [f"--{name}: {reason}" for name, reason in migration.dropped.items()],
    }
    for title, lines in chapters.items():
        if lines:
            yield f"# {title}:"
            for line in lines:
                yield from textwrap.wrap(line, WIDTH, initial_indent="#   ", subsequent_indent="#     ")
