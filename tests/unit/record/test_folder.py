"""The run folder: made once, opened again, never overwritten."""

import json
from pathlib import Path

import pytest

from lmm_r1_mega.errors import BadData
from lmm_r1_mega.record.claim import claim
from lmm_r1_mega.record.folder import RunFolder, check_unused


def test_a_new_folder_knows_what_made_it(tmp_path):
    made = RunFolder.create(tmp_path / "runs" / "a", "run: {}\n", verb="sft")
    assert made.config_file.read_text() == "run: {}\n"
    assert RunFolder.open(made.path) == made
    assert made.verb == "sft" and len(made.id) == 8


def test_workers_that_stand_elsewhere_find_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = RunFolder.create(Path("runs/a"), "", verb="train")
    assert made.checkpoints == tmp_path / "runs" / "a" / "checkpoints"
    assert RunFolder.open(Path("runs/a")) == made


def test_an_empty_folder_may_be_there_already(tmp_path):
    RunFolder.create(tmp_path, "a: 1", verb="train")
    assert RunFolder.open(tmp_path).config_file.read_text() == "a: 1"


def test_a_run_is_not_overwritten(tmp_path):
    RunFolder.create(tmp_path, "", verb="train")
    with pytest.raises(ValueError, match=f"is not empty: go on with `lmm-r1-mega resume {tmp_path}`, or choose another with --run.folder"):
        RunFolder.create(tmp_path, "", verb="train")


def test_other_peoples_files_are_not_mixed_with(tmp_path):
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(ValueError, match="is not empty: choose another"):
        RunFolder.create(tmp_path, "", verb="train")
    with pytest.raises(ValueError, match=r"is not the folder of a run: it has no readable run\.json"):
        RunFolder.open(tmp_path)


def test_the_lock_of_a_claim_is_nothing_to_be_mixed_with(tmp_path):
    with claim(tmp_path / "run"):
        made = RunFolder.create(tmp_path / "run", "", verb="train")
        with pytest.raises(ValueError, match="is not empty: go on with"):
            check_unused(made.path)
    assert RunFolder.open(tmp_path / "run") == made


@pytest.mark.parametrize("name", ["metrics.jsonl", "rollouts.jsonl"])
def test_a_damaged_line_is_named_before_anything_is_cut(tmp_path, name):
    folder = RunFolder.create(tmp_path, "", verb="train")
    folder.append_rollouts([{"step": 1}])
    folder.append_metrics(1, {"reward": 0.5})
    folder.check_rows()
    (tmp_path / name).write_text('{"step": 1}\n{"ste')
    folder.check_rows()
    (tmp_path / name).write_text('{"step": 1}\n{"ste\n')
    with pytest.raises(BadData, match=rf"{name}:2 is no JSON .*: delete the line"):
        folder.check_rows()


def test_a_resumed_run_forgets_what_came_after_its_checkpoint(tmp_path):
    folder = RunFolder.create(tmp_path, "", verb="train")
    for step in (1, 2, 3):
        folder.append_rollouts([{"step": step, "response": "a"}, {"step": step, "response": "b"}])
        folder.append_metrics(step, {"reward": step / 7})
    for step in (2, 3):
        with folder.checkpoint(step, keep=2) as partial:
            (partial / "state.json").write_text("{}")
    assert folder.cut_after(2) == [folder.checkpoints / "step_000003.set_aside"]
    assert folder.newest_checkpoint().step == 2
    assert folder.metrics() == [{"step": 1, "reward": 1 / 7}, {"step": 2, "reward": 2 / 7}]
    assert len(folder.rollouts_file.read_text().splitlines()) == 4


def test_a_run_that_goes_on_is_not_finished(tmp_path):
    folder = RunFolder.create(tmp_path, "", verb="train")
    folder.write_summary({"steps": 3})
    assert folder.is_finished
    folder.cut_after(3)
    assert not folder.is_finished


def test_a_run_without_a_checkpoint_goes_on_from_its_start_and_loses_nothing_before(tmp_path):
    folder = RunFolder.create(tmp_path, "a: 1", verb="train")
    folder.append_metrics(0, {"eval/x/accuracy": 0.5})
    folder.append_metrics(1, {"reward": 1.0})
    start = folder.beginning()
    assert (start.step, len(folder.metrics())) == (0, 2), "nothing is lost until the run really starts"
    folder.cut_after(start.step)
    assert folder.metrics() == []
    assert RunFolder.open(tmp_path).config_file.read_text() == "a: 1"


def test_a_damaged_checkpoint_is_not_passed_over_to_start_again(tmp_path):
    folder = RunFolder.create(tmp_path, "", verb="train")
    with folder.checkpoint(1, keep=1) as partial:
        (partial / "x").write_bytes(b"x")
        (partial / "state.json").write_text("{}")
    (folder.checkpoints / "step_000001" / "x").write_bytes(b"y")
    assert folder.newest_checkpoint() is None
    with pytest.raises(
        BadData, match=r"step_000001 cannot be used \(x has changed since it was written\).*: bring its files back, or delete"
    ):
        folder.beginning()
    assert (folder.checkpoints / "step_000001" / "x").read_bytes() == b"y"


def test_summary_is_json(tmp_path):
    folder = RunFolder.create(tmp_path, "", verb="train")
    folder.write_summary({"steps": 3})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"steps": 3}
