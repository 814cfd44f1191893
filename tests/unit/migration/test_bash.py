"""What a script hands to its program: bash itself, with a program that writes its words down, is the judge."""

import subprocess

import pytest
from bash_snippets import SNIPPETS

from lmm_r1_mega.migration.shell import training_command

PROGRAM = "python3 -m openrlhf.cli.train_ppo_ray"
RECORDER = r"""#!/bin/bash
[ "$2" = openrlhf.cli.train_ppo_ray ] && shift 2 && { printf '%s\0' "$@"; printf '\1'; } >> "$RECORD"
"""


def scripts() -> list[str]:
    """One script for each line without a bar, and for each block of lines with one."""
    found, block = [], []
    for line in [*SNIPPETS.splitlines(), ""]:
        if line.startswith("|"):
            block.append(line[2:])
            continue
        found += ["\n".join(block)] if block else []
        found += [line] if line else []
        block = []
    return [script.replace("RUN()", "run()").replace("RUN", PROGRAM) for script in found]


RUN_ALL = 'for script in *.sh; do RECORD="$PWD/$script.words" bash "$script"; done'


@pytest.fixture(scope="module")
def words_by_bash(tmp_path_factory):
    """What the program gets from each script of this folder, which runs with nothing of the environment but HOME."""
    folder = tmp_path_factory.mktemp("bash")
    recorder = folder / "bin" / "python3"
    recorder.parent.mkdir()
    recorder.write_text(RECORDER)
    recorder.chmod(0o755)
    for number, script in enumerate(scripts()):
        (folder / f"{number}.sh").write_text(f"{script}\nwait\n", encoding="utf-8")
    environment = {"PATH": f"{recorder.parent}:/usr/bin:/bin", "HOME": "/home/me", "LC_ALL": "C.UTF-8"}
    subprocess.run(["bash", "-c", RUN_ALL], env=environment, cwd=folder, capture_output=True, timeout=600, check=True)
    records = [folder / f"{number}.sh.words" for number in range(len(scripts()))]
    return [record.read_text(encoding="utf-8").split("\1")[0].split("\0")[:-1] for record in records]


@pytest.mark.parametrize("number", range(len(scripts())))
def test_the_words_are_those_that_bash_makes(number, words_by_bash):
    script = scripts()[number]
    assert list(training_command(script, {"HOME": "/home/me"}).words) == words_by_bash[number], script
