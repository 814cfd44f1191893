"""Trackers by name; keys from the environment only."""

import json
import os
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lmm_r1_mega.record.folder import RunFolder
from lmm_r1_mega.record.trackers import TRACKERS, Trackers


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "run", "", verb="train")


def points(folder, name):
    events = EventAccumulator(str(folder.path / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_tensorboard_has_the_points(folder):
    with Trackers(["tensorboard"], folder, {"run.steps": 2}) as trackers:
        trackers.log(1, {"reward": 0.25})
        trackers.log(2, {"reward": 0.5})
    assert points(folder, "reward") == [(1, 0.25), (2, 0.5)]


def test_a_resumed_run_hides_the_points_after_its_checkpoint(folder):
    with Trackers(["tensorboard"], folder, {}) as trackers:
        for step in (1, 2, 3):
            trackers.log(step, {"reward": 0.25})
    with Trackers(["tensorboard"], folder, {}, first_step=1) as trackers:
        trackers.log(2, {"reward": 0.5})
    assert points(folder, "reward") == [(1, 0.25), (2, 0.5)]


def test_a_tracker_that_fails_is_left_out_and_the_others_go_on(folder, monkeypatch, caplog):
    class Broken:
        def __init__(self, folder, settings, *, first_step):
            self.calls = 0

        def log(self, step, row):
            self.calls += 1
            assert self.calls == 1, "a tracker that failed is asked again"
            raise ConnectionError("gone")

        def close(self):
            raise AssertionError("a tracker that failed is asked again")

    monkeypatch.setitem(TRACKERS, "trackio", Broken)
    with Trackers(["trackio", "tensorboard"], folder, {}) as trackers:
        trackers.log(1, {"reward": 0.25})
        trackers.log(2, {"reward": 0.5})
    assert points(folder, "reward") == [(1, 0.25), (2, 0.5)]
    assert caplog.messages == ["tracker trackio failed and gets nothing more: ConnectionError: gone"]


def test_an_unknown_tracker_is_named(folder):
    with pytest.raises(ValueError, match=r"run\.trackers has 'mlflow': use tensorboard, wandb, trackio"):
        Trackers(["mlflow"], folder, {})


def test_a_missing_package_is_named_with_its_command(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match="not installed: pip install 'lmm-r1-mega\\[track\\]', or pip install wandb"):
        Trackers(["wandb"], folder, {})


def test_wandb_without_a_key_asks_for_it_in_the_environment(folder, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'lmm-r1-mega[track]'")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with pytest.raises(ValueError, match="set WANDB_API_KEY in the environment, or WANDB_MODE=offline"):
        Trackers(["wandb"], folder, {})


def test_wandb_offline_needs_no_key(folder, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'lmm-r1-mega[track]'")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    with Trackers(["wandb"], RunFolder.open(folder.path), {"run.steps": 2}) as trackers:
        trackers.log(1, {"reward": 0.25, "kl": float("nan")})
    assert list((folder.path / "wandb").glob(f"offline-run-*/run-{folder.id}.wandb"))


TRACK = """
import sys
from pathlib import Path
from lmm_r1_mega.record.folder import RunFolder
from lmm_r1_mega.record.trackers import Trackers

folder = RunFolder.open(Path(sys.argv[1]))
for first_step in (0, 1):
    with Trackers(["trackio"], folder, {"run": {"steps": 3}}, first_step=first_step) as trackers:
        for step in (first_step + 1, first_step + 2):
            trackers.log(step, {"reward": step / 4, "kl": float("nan")})
"""
READ = """
import json
from trackio import Api
from trackio.sqlite_storage import SQLiteStorage
print(json.dumps([[run.name, run.config["run"], SQLiteStorage.get_logs("lmm-r1-mega", run.name)] for run in Api().runs("lmm-r1-mega")]))
"""


def test_trackio_goes_on_with_the_same_run(folder, tmp_path):
    pytest.importorskip("trackio", reason="trackio is not installed: pip install 'lmm-r1-mega[track]'")
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio")}  # which it reads when it is imported
    for name in ("TRACKIO_PROJECT", "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        environment.pop(name, None)
    subprocess.run([sys.executable, "-c", TRACK, str(folder.path)], env=environment, timeout=60, check=True)
    done = subprocess.run([sys.executable, "-c", READ], env=environment, timeout=60, check=True, capture_output=True, text=True)
    [[name, config, points]] = json.loads(done.stdout)
    assert (name, config) == (f"run-{folder.id}", {"steps": 3})
    assert [(point["step"], point["reward"], "kl" in point) for point in points] == [
        (1, 0.25, False),
        (2, 0.5, False),
        (2, 0.5, False),
        (3, 0.75, False),
    ]
