"""What `resume` refuses, on real run folders; a refused one leaves every byte as it was."""

import json
import shutil
import subprocess
import sys

import pytest

from lmm_r1_mega.cli import run_here
from lmm_r1_mega.commands import resume
from lmm_r1_mega.commands.resume import check_changes
from lmm_r1_mega.config import Config
from lmm_r1_mega.config.reading import changes, to_yaml
from lmm_r1_mega.errors import BAD_DATA, REQUEUE, USAGE
from lmm_r1_mega.record.claim import claim
from lmm_r1_mega.record.folder import RunFolder


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """A finished run of four steps with the checkpoints of steps 2 and 4."""
    config = Config(run={"folder": tmp_path / "run", "steps": 4}, data={"train": ["a.jsonl"]})
    folder = RunFolder.create(config.run.folder, to_yaml(config), verb="train")
    for step in (1, 2, 3, 4):
        folder.append_metrics(step, {"reward": step / 4})
        folder.append_rollouts([{"step": step, "response": "a"}])
    for step in (2, 4):
        with folder.checkpoint(step, keep=2) as partial:
            (partial / "state.json").write_text(json.dumps({"step": step}))
            (partial / "policy").mkdir()
            (partial / "policy" / "shard").write_bytes(b"x" * 100)
    folder.write_summary({"steps": 4})
    return folder


def tree(folder: RunFolder) -> dict:
    return {path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in folder.path.rglob("*")}


def refused(run: RunFolder, capsys, *options: str) -> tuple[int, str]:
    before = tree(run)
    status = run_here("resume", [str(run.path), *options])
    assert tree(run) == before
    return status, capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "change"),
    [
        (["--run.seed", "1"], "run.seed: 0 -> 1"),
        (["--model.path", "other"], "model.path: model -> other"),
        (["--algorithm.name", "rloo"], "algorithm.name: grpo -> rloo"),
        (["--algorithm.samples_per_prompt", "2"], "algorithm.samples_per_prompt: "),
        (["--reward.weights", "accuracy", "1"], "reward.weights: format 0.5 accuracy 1.0 -> accuracy 1.0"),
        (["--data.train", "b.jsonl"], "data.train: a.jsonl -> b.jsonl"),
        (["--data.shuffle", "false"], "data.shuffle: True -> False"),
    ],
)
def test_what_makes_it_another_run_is_refused_with_the_change(run, capsys, options, change):
    status, said = refused(run, capsys, *options, "--run.steps", "8")
    assert status == USAGE
    assert change in said and "it would be another run: leave that out, or add --allow-change" in said


def test_changes_are_printed_and_those_that_are_allowed_go_on(capsys):
    before = Config(run={"steps": 4, "folder": "a"})
    after = Config(run={"steps": 8, "folder": "b"}, layout={"tensor": 2}, model={"recompute": "full"})
    check_changes(changes(before, after), allow_change=False)
    assert capsys.readouterr().out.splitlines() == [
        "resume with changed settings:",
        "  model.recompute: none -> full",
        "  layout.tensor: 1 -> 2",
        "  run.steps: 4 -> 8",
    ]
    check_changes(changes(before, before), allow_change=False)
    check_changes({"run.seed": "0 -> 1"}, allow_change=True)
    assert capsys.readouterr().out == "resume with changed settings:\n  run.seed: 0 -> 1\n"


@pytest.mark.parametrize(("steps", "allowed"), [("4", False), ("3", False), ("1", True)])
def test_no_more_steps_than_there_are_is_an_error(run, capsys, steps, allowed):
    status, said = refused(run, capsys, "--run.steps", steps, *(["--allow-change"] if allowed else []))
    assert status == USAGE
    assert f"is at step 4 of run.steps {steps}: raise it with --run.steps to train on" in said


@pytest.mark.parametrize("name", ["metrics.jsonl", "rollouts.jsonl"])
def test_a_damaged_record_is_told_before_anything_starts(run, capsys, name):
    with (run.path / name).open("a") as file:
        file.write("{]\n")
    status, said = refused(run, capsys, "--run.steps", "8")
    assert status == BAD_DATA
    assert f"{run.path / name}:5 is no JSON" in said and f"sed -i 5d {run.path / name}" in said


@pytest.mark.parametrize("manifest", ["", "{}", "[]", "null", '{"state.json": {"bytes": 1, "xxh3": "0"}}', "[" * 100_000])
def test_checkpoints_that_cannot_be_used_are_no_reason_to_begin_again(run, capsys, manifest):
    for step in (2, 4):
        (run.checkpoints / f"step_{step:06d}" / "manifest.json").write_text(manifest)
    status, said = refused(run, capsys, "--run.steps", "8")
    assert status == BAD_DATA
    assert "step_000004 cannot be used (its manifest.json cannot be read" in said and ": bring its files back, or delete" in said


def test_an_unknown_option_and_a_folder_that_is_no_run(run, capsys, tmp_path):
    assert refused(run, capsys, "--run.stps", "8")[0] == USAGE
    (run.path / "run.json").write_text("[]")
    status, said = refused(run, capsys)
    assert status == USAGE and "is not the folder of a run" in said


RESUME = "import sys; from lmm_r1_mega.cli import main; sys.exit(main(sys.argv[1:]))"


def test_a_run_that_is_at_work_is_not_touched_and_its_process_named(run):
    with claim(run.path):
        before = tree(run)
        command = [sys.executable, "-c", RESUME, "resume", str(run.path), "--run.steps", "8"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert tree(run) == before
        owner = (run.path / "run.lock").read_text()
    assert done.returncode == USAGE
    assert f"another process is writing to {run.path} ({owner}): wait for it, or stop it" in done.stderr


def test_a_second_start_of_a_new_run_is_told_at_once(tmp_path, capsys):
    with claim(tmp_path / "run"):
        assert run_here("train", ["--run.folder", str(tmp_path / "run")]) == USAGE
        assert run_here("sft", ["--run.folder", str(tmp_path / "run")]) == USAGE
    assert capsys.readouterr().err.count("another process is writing to") == 2


def test_a_read_only_disk_asks_for_another_start_and_is_named(disk, make_read_only, run, capsys):
    shutil.copytree(run.path, disk / "run")
    make_read_only()
    for words in (["resume", str(disk / "run"), "--run.steps", "8"], ["train", "--run.folder", str(disk / "new")]):
        assert run_here(words[0], words[1:]) == REQUEUE
        said = capsys.readouterr().err
        assert f"{words[2] if words[0] == 'train' else words[1]}/run.lock cannot be read or written (Read-only file system)" in said


def test_a_late_resume_sees_what_the_other_process_did_before_it_ended(tmp_path, capsys, monkeypatch):
    """Up to the moment of the claim the other process is at work: it goes on to step 4, saves, and ends."""
    two, four = (Config(run={"folder": tmp_path / "run", "steps": steps}) for steps in (2, 4))
    run = RunFolder.create(tmp_path / "run", to_yaml(two), verb="train")

    def when_the_other_has_ended(folder):
        run.write_config(to_yaml(four))
        with run.checkpoint(4, keep=1) as partial:
            (partial / "state.json").write_text("{}")
        run.append_metrics(4, {"reward": 1.0})
        run.write_summary({"steps": 4})
        return claim(folder)

    monkeypatch.setattr(resume, "claim", when_the_other_has_ended)
    assert run_here("resume", [str(run.path)]) == USAGE
    assert "is at step 4 of run.steps 4: raise it" in capsys.readouterr().err
    assert run.is_finished and [row["step"] for row in run.metrics()] == [4]
