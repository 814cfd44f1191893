"""What a script hands to its program: bash itself, with a program that writes its words down, is the judge."""

import contextlib
import random
import re
import subprocess
from pathlib import Path

import pytest
from bash_snippets import DOUBTFUL, EXOTIC, SNIPPETS

from lmm_r1_mega.migration.bash.unknown import is_letter
from lmm_r1_mega.migration.source import training_command

PROGRAM = "python3 -m openrlhf.cli.train_ppo_ray"
RECORDER = r"""#!/bin/bash
[ "$2" = openrlhf.cli.train_ppo_ray ] && shift 2 && { printf '%s\0' $# "$@"; printf '\1'; } >> "$RECORD"
"""


def scripts(snippets: str = SNIPPETS) -> list[str]:
    """One script for each line without a bar, and for each block of lines with one."""
    found, block = [], []
    for line in [*snippets.splitlines(), ""]:
        if line.startswith("|"):
            block.append(line[2:])
            continue
        found += ["\n".join(block)] if block else []
        found += [line] if line else []
        block = []
    return [script.replace("RUN()", "run()").replace("RUN", PROGRAM) for script in found]


RUN_ALL = 'for script in *.sh; do RECORD="$PWD/$script.words" timeout 20 bash "$script"; done'


@pytest.fixture(scope="module")
def run_by_bash(tmp_path_factory):
    """What the program gets from each of some scripts, with nothing of the environment but HOME; None where it does not start."""
    folder = tmp_path_factory.mktemp("bash")
    recorder = folder / "bin" / "python3"
    recorder.parent.mkdir()
    recorder.write_text(RECORDER)
    recorder.chmod(0o755)
    environment = {"PATH": f"{recorder.parent}:/usr/bin:/bin", "HOME": "/home/me", "LC_ALL": "C.UTF-8"}

    def run(texts: list[str]) -> list[list[str] | None]:
        place = folder / str(len(list(folder.iterdir())))
        place.mkdir()
        for number, script in enumerate(texts):
            (place / f"{number}.sh").write_text(f"{script}\nwait\n", encoding="utf-8")
        subprocess.run(
            ["bash", "-c", RUN_ALL], env=environment, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, timeout=900, check=False
        )
        return [recorded(place / f"{number}.sh.words") for number in range(len(texts))]

    return run


def recorded(record: Path) -> list[str] | None:
    """The words of the first call, if there was one."""
    if not record.exists():
        return None
    count, *words = record.read_text(encoding="utf-8", errors="replace").split("\1")[0].split("\0")
    return words[: int(count)]


@pytest.fixture(scope="module")
def words_by_bash(run_by_bash):
    return run_by_bash(scripts())


@pytest.mark.parametrize("number", range(len(scripts())))
def test_the_words_are_those_that_bash_makes(number, words_by_bash):
    script = scripts()[number]
    assert list(training_command(script, {"HOME": "/home/me"}).words) == words_by_bash[number], script


@pytest.mark.parametrize(("script", "reason"), EXOTIC)
def test_bash_that_no_launch_script_has_is_an_error_with_its_line(script, reason):
    with pytest.raises(ValueError, match=re.escape(reason)) as error:
        command = training_command(script.replace("RUN()", "run()").replace("RUN", PROGRAM), {"HOME": "/home/me"})
        unknown = [why for word in command.words if (why := command.unknowns.first(word)) is not None]
        raise ValueError(unknown[0].reason if unknown else "every word is known")
    assert re.search(r"line \d", str(error.value))


COINS = ("0 0 0 0 0 0", "1 1 1 1 1 1", "0 1 0 1 0 1", "1 0 1 0 1 0", "1 1 0 0 1 1", "0 0 1 1 0 0")


def with_coin(script: str, coins: str) -> str:
    """The script where the program `coin` ends as one of a list, each time with the next."""
    return f'exec 9<<< "{coins.replace(" ", chr(10))}"\ncoin() {{ local c=0; read -r c <&9; return ${{c:-0}}; }}\n{script}'


def test_what_programs_answer_does_not_change_a_word_that_is_known(run_by_bash):
    """A word stays the same however the program `coin` ends, or is not known, or there is an error."""
    wrong, num_known = [], 0
    for script in scripts(DOUBTFUL):
        try:
            command = training_command(script, {"HOME": "/home/me"})
        except ValueError:
            continue
        if any(map(is_letter, "".join(command.words))):
            continue
        num_known += 1
        wrong += [
            (script, words) for words in run_by_bash([with_coin(script, coins) for coins in COINS]) if words not in (None, [*command.words])
        ]
    assert wrong == []
    assert num_known > 10


def mutated(script: str, rng: random.Random) -> str:
    """A script with a letter less or more, or with the beginning of another one before it."""
    place = rng.randrange(len(script))
    kind = rng.random()
    if kind < 0.4:
        return script[:place] + script[place + 1 :]
    if kind < 0.7:
        return script[:place] + rng.choice(" \"'${}[]()*#%/:,;|&\\\n~=+-!@a1x") + script[place:]
    return rng.choice(scripts()).split(PROGRAM)[0] + "\n" + script


@pytest.mark.slow
def test_of_a_script_with_mistakes_the_words_are_those_of_bash_or_there_is_an_error(run_by_bash):
    rng = random.Random(7)
    attempts = [script for _ in range(1500) if (script := mutated(rng.choice(scripts()), rng)).count("train_ppo_ray") == 1]
    known = {}
    for script in attempts:
        with contextlib.suppress(ValueError):
            command = training_command(script, {"HOME": "/home/me"})
            if not any(command.unknowns.first(word) for word in command.words):
                known[script] = list(command.words)
    words = dict(zip(known, run_by_bash(list(known)), strict=True))
    assert sum(found is not None for found in words.values()) > 600
    wrong = {script: found for script, found in words.items() if found is not None and found != known[script]}
    assert wrong == {}
