"""Words out of shell scripts; bash itself is the judge of the harder ones."""

import shlex
import subprocess

import pytest

from lmm_r1_mega.migration.shell import training_command

PROGRAM = "python3 -m openrlhf.cli.train_ppo_ray"
PRINT_WORDS = "printf '%s\\0'"


def words_of(script: str, **environment: str) -> list[str]:
    return list(training_command(script, environment).words)


def words_by_bash(script: str) -> list[str]:
    """What bash hands to the program, which a program that prints its words takes the place of."""
    done = subprocess.run(["bash", "-c", script.replace(PROGRAM, PRINT_WORDS)], capture_output=True, text=True, check=True, cwd="/")
    return done.stdout.split("\0")[:-1]


@pytest.mark.parametrize(
    "command",
    [
        "--a 1 --b two",
        "--a \\\n   1 \\\n   --b",
        "--a 'x  y' --b \"p  q\"",
        "--a 'it is $X' --b \"it is $X\" --c it\\ is",
        "--a $X --b ${X}/y --c ${UNSET:-other} --d ${X:-other} --e \"${UNSET:-o t}\"",
        "--a $BLANKS --b \"$BLANKS\"",
        "--a $UNSET --b",
        "--a \"\" --b ''",
        "--a x\"y\"'z' --b=3",
        "--a \"say \\\"hi\\\" \\$X \\\\ end\"",
        "--json '{\"min_pixels\": 4}' --json2 \"{\\\"max\\\": 5}\"",
        "--a 1 # --b 2",
        "--a x#y --b #c",
        "--a 1 \\\n   --b 2 \\\n  # --c 3 \\\n",
        "--a 1 2>/dev/null",
        "--a 1; true",
        "--a 1 && true",
        "--a -1 --b -10 10",
        "--a $X$X --b $X-$X",
        "--a ''\n",
    ],
)  # fmt: skip
def test_words_are_those_that_bash_makes(command):
    script = f'X=value\nexport BLANKS="one  two"\n{PROGRAM} {command}'
    assert words_of(script) == words_by_bash(script)


def test_variables_of_the_script_win_over_the_environment():
    script = f"A=script\nB=\"$A/x\" # why\nC=  \nexport D='$A'\n{PROGRAM} $A $B ${{C}} $D $E $F"
    assert words_of(script, A="outside", E="outside") == ["script", "script/x", "$A", "outside"]


def test_folders_and_other_substitutions():
    script = f'W=$(pwd)\nT=$(date +%Y%m%d)\n{PROGRAM} $W/data --b "${{W}}" --c $T --d $(echo a b) > >(tee x) 2>&1 &'
    assert words_of(script) == ["./data", "--b", ".", "--c", "$(...)", "--d", "$(...)"]


def test_a_command_submitted_to_ray_and_one_inside_another_commands_text():
    job = '{\\"working_dir\\": \\"/x\\"}'
    submitted = (
        f'ray job submit --address="http://127.0.0.1:8265" \\\n --env="{job}" \\\n -- {PROGRAM} \\\n --a 1 \\\n --b "2 3"\necho done'
    )
    assert words_of(submitted) == ["--a", "1", "--b", "2 3"]
    inside = (
        f'srun bash -c \\\n"pip x \\\n&& ray job submit --env=\'{job}\' \\\n -- {PROGRAM} \\\n --a 1 --b {{token}}" &>> log\necho "end"'
    )
    assert words_of(inside) == ["--a", "1", "--b", "{token}"]


def test_a_comment_inside_a_command_cuts_it():
    command = training_command(f"{PROGRAM} --a 1 \\\n  # --b 2 \\\n  --c 3\n", {})
    assert (command.words, command.is_cut) == (("--a", "1"), True)
    assert not training_command(f"{PROGRAM} --a 1 # why\necho --c\n", {}).is_cut


def test_a_command_in_a_comment_is_none():
    assert words_of(f"# {PROGRAM} --a 1\n{PROGRAM} --a 2\n") == ["--a", "2"]
    for script in ("echo hello", f"#   {PROGRAM} --a 1", "deepspeed --module openrlhf.cli.train_sft --a 1"):
        with pytest.raises(ValueError, match="no train_ppo_ray command"):
            words_of(script)


def test_windows_lines_and_the_file_form():
    assert words_of("python openrlhf/cli/train_ppo_ray.py \\\r\n  --a 1\r\n") == ["--a", "1"]
    assert shlex.split("--a 1") == words_of(f"{PROGRAM} --a 1")
