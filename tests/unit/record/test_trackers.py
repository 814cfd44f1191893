"""Trackers by name; keys from the environment only."""

import contextlib
import json
import os
import struct
import subprocess
import sys

import psutil
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

    monkeypatch.setitem(TRACKERS, "json", Broken)  # a package that is there
    with Trackers(["json", "tensorboard"], folder, {}) as trackers:
        trackers.log(1, {"reward": 0.25})
        trackers.log(2, {"reward": 0.5})
    assert points(folder, "reward") == [(1, 0.25), (2, 0.5)]
    assert caplog.messages == ["tracker json failed and gets nothing more: ConnectionError: gone"]


def test_an_unknown_tracker_is_named(folder):
    with pytest.raises(ValueError, match=r"run\.trackers has 'mlflow': use tensorboard, wandb, trackio"):
        Trackers(["mlflow"], folder, {})


def test_a_missing_package_is_named_with_its_command(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match="not installed: pip install 'lmm-r1-mega\\[track\\]', or pip install wandb"):
        Trackers(["wandb"], folder, {})


def test_wandb_without_a_key_asks_for_it_in_the_environment(folder, monkeypatch):
    pytest.importorskip("wandb", reason="requirements/extras.txt is not installed")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with pytest.raises(ValueError, match="set WANDB_API_KEY in the environment, or WANDB_MODE=offline"):
        Trackers(["wandb"], folder, {})


TRACK = """
import sys
from pathlib import Path
from lmm_r1_mega.record.folder import RunFolder
from lmm_r1_mega.record.trackers import Trackers

folder = RunFolder.open(Path(sys.argv[1]))
for first_step in (0, 1):
    with Trackers([sys.argv[2]], folder, {"run": {"steps": 3}}, first_step=first_step) as trackers:
        for step in (first_step + 1, first_step + 2):
            trackers.log(step, {"reward": step / 4, "kl": float("nan")})
"""


def track_and_resume(folder, tracker, environment):
    """Steps 1 and 2, and as a resumed run 2 and 3, in a process of its own: trackers read the environment when they are imported."""
    subprocess.run([sys.executable, "-c", TRACK, str(folder.path), tracker], env=environment, timeout=60, check=True)


def processes_of(home):
    """Processes with this home folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            found += [process] if process.environ().get("HOME") == str(home) else []
    return found


def wandb_records(path):
    """Records of a W&B file: behind a header of 7 bytes a log as LevelDB keeps it, in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, record = path.read_bytes(), 7, b""
    while at < len(data):
        room = -at % 2**15 or 2**15
        if room < 7:
            at += room
            continue
        size, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        record += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # a whole one, or the last piece of one
            yield Record.FromString(record)
            record = b""


def test_wandb_offline_needs_no_key_and_a_resumed_run_has_a_part_under_the_same_id(folder, tmp_path):
    pytest.importorskip("wandb", reason="requirements/extras.txt is not installed")
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    for path in (home, scratch):
        path.mkdir()
    rest = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    track_and_resume(folder, "wandb", {**rest, "HOME": str(home), "TMPDIR": str(scratch), "WANDB_MODE": "offline"})
    _, alive = psutil.wait_procs(processes_of(home), timeout=60)
    assert (alive, list(scratch.iterdir())) == ([], [])

    points = []
    for path in sorted((folder.path / "wandb").glob(f"offline-run-*/run-{folder.id}.wandb")):
        records = list(wandb_records(path))
        [run] = [record.run for record in records if record.WhichOneof("record_type") == "run"]
        settings = {item.key: json.loads(item.value_json) for item in run.config.update}
        assert (run.run_id, run.display_name, run.project, settings["run"]) == (folder.id, "run", "lmm-r1-mega", {"steps": 3})
        rows = [record.history for record in records if record.WhichOneof("record_type") == "history"]
        values = [{(item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in row.item} for row in rows]
        points.append([(row["_step"], row["reward"], "kl" in row) for row in values])
    assert points == [[(1, 0.25, False), (2, 0.5, False)], [(2, 0.5, False), (3, 0.75, False)]]


READ = """
import json
from trackio import Api
from trackio.sqlite_storage import SQLiteStorage
print(json.dumps([[run.name, run.config["run"], SQLiteStorage.get_logs("lmm-r1-mega", run.name)] for run in Api().runs("lmm-r1-mega")]))
"""


def test_trackio_goes_on_with_the_same_run(folder, tmp_path):
    pytest.importorskip("trackio", reason="trackio is not installed, for it wants an older pillow: pip install 'lmm-r1-mega[track]'")
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio")}
    for name in ("TRACKIO_PROJECT", "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        environment.pop(name, None)
    track_and_resume(folder, "trackio", environment)
    done = subprocess.run([sys.executable, "-c", READ], env=environment, timeout=60, check=True, capture_output=True, text=True)
    [[name, config, points]] = json.loads(done.stdout)
    assert (name, config) == (f"run-{folder.id}", {"steps": 3})
    assert [(point["step"], point["reward"], "kl" in point) for point in points] == [
        (1, 0.25, False),
        (2, 0.5, False),
        (2, 0.5, False),
        (3, 0.75, False),
    ]
