"""The command line: verbs, help without torch, and an exit status for every kind of end."""

import subprocess
import sys

import pytest

from lmm_r1_mega import cli
from lmm_r1_mega.commands import train
from lmm_r1_mega.commands.verbs import VERBS
from lmm_r1_mega.errors import BadData, DiskFull, ProcessLost, Stopped

HEAVY = ("torch", "transformers", "megatron", "vllm", "ray", "pyarrow", "sympy", "PIL")
HELP = f"""
import sys
from lmm_r1_mega.cli import main
status = main(sys.argv[1:])
heavy = sorted(set(sys.modules) & set({HEAVY!r}))
sys.exit(status or ("imported: " + ", ".join(heavy) if heavy else 0))
"""


@pytest.mark.parametrize("verb", [*VERBS, None])
def test_help_imports_nothing_heavy(verb):
    words = [verb, "--help"] if verb else ["--help"]
    done = subprocess.run([sys.executable, "-c", HELP, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    expected = VERBS[verb].usage if verb else "usage: lmm-r1-mega VERB"
    assert done.stdout.startswith(expected)
    assert ("--layout.tensor INT  (default: 1)" in done.stdout) == bool(verb and VERBS[verb].takes_settings)


@pytest.mark.parametrize("words", [["data", "check", "--help"], ["train", "a.yaml", "-h"], ["resume", "-h"]])
def test_help_may_stand_anywhere(words, capsys):
    assert cli.main(words) == 0
    assert capsys.readouterr().out.startswith(VERBS[words[0]].usage)


def test_wrong_options_are_told_before_anything_heavy_is_imported():
    check = HELP.replace("import main", "import run_here").replace("main(sys.argv[1:])", "run_here(sys.argv[1], sys.argv[2:])")
    check = check.replace("status or", "status != 2 or")
    for words in (["train", "--run.stps", "1"], ["data", "check", "a", "--x"], ["convert", "to-hf"], ["eval"], ["resume", "/gone"]):
        done = subprocess.run([sys.executable, "-c", check, *words], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


def test_no_verb_prints_the_help_and_is_wrong_usage(capsys):
    assert cli.main([]) == 2
    assert all(f"\n  {verb} " in capsys.readouterr().out for verb in ["train"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tarin"], "unknown verb tarin: did you mean train?"),
        (["xyz"], "unknown verb xyz: verbs are train, sft, resume, eval, plan, convert, migrate, data, reward, report, doctor"),
        (["resume"], "usage: lmm-r1-mega resume RUN"),
        (["data", "look", "a.jsonl"], "usage: lmm-r1-mega data check FILE"),
        (["reward", "try", "--json"], "usage: lmm-r1-mega reward try FILE"),
        (["convert", "verify", "a", "b", "--source", "c"], "usage: lmm-r1-mega convert"),
        (["convert", "to-hf", "a", "b", "--source"], "--source needs a value"),
        (["convert", "to-hf", "a", "b", "--source", "--json"], "--source needs a value"),
        (["plan", "--gpu-gib", "much"], "--gpu-gib much: give a number of GiB above 0"),
        (["plan", "--gpu-gib=-3"], "--gpu-gib -3: give a number of GiB above 0"),
        (["plan", "--host-gib", "nan"], "--host-gib nan: give a number of GiB above 0"),
        (["eval", "/gone", "a.jsonl"], "model.path /gone has no config.json: give a Hugging Face folder"),
        (["doctor", "now"], "usage: lmm-r1-mega doctor"),
    ],
)
def test_wrong_usage_is_a_message_and_status_2(words, message, capsys):
    assert cli.main(words) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"lmm-r1-mega: {message}") and "Traceback" not in printed


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("why"), 2),
        (BadData("why"), 65),
        (DiskFull("why"), 75),
        (ProcessLost("why"), 75),
        (Stopped("why"), 75),
        (RuntimeError("why"), 70),
        (KeyError("why"), 70),
        (OSError("why"), 70),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_kind_of_error_has_its_status(error, status, monkeypatch, capsys):
    def fail(words):
        raise error

    monkeypatch.setattr(train, "run", fail)
    assert cli.run_here("train", []) == status
    printed = capsys.readouterr().err
    assert ("Traceback" in printed) == (status == 70), "a traceback is for errors that are ours"
    assert ("interrupted" if status == 130 else "why") in printed


def test_a_verb_that_starts_processes_runs_below_a_parent(monkeypatch, capsys):
    """Which says what the child has told it."""

    def fail(words):
        raise AssertionError("the verb runs in the parent")

    monkeypatch.setattr(train, "run", fail)
    assert cli.main(["train", "--run.stps", "1"]) == 2
    assert capsys.readouterr().err.startswith("lmm-r1-mega: unknown setting run.stps: did you mean run.steps?")
