"""A run that is killed and resumed ends bit for bit where the unbroken one ends."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from lmm_r1_mega.config.reading import merge
from lmm_r1_mega.errors import INTERRUPTED, REQUEUE, USAGE

DEADLINE_S = 240


def start(*arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "lmm_r1_mega.cli", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(*arguments: str) -> str:
    process = start(*arguments)
    output, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, said
    return output


def kill_everything(process: subprocess.Popen) -> None:
    """kill -9 of the driver and all it started, at once; then none of them is left."""
    if process.poll() is not None:
        return
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs(family, timeout=10)


def wait_for(condition, *, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def rows(folder: Path) -> list[dict]:
    """Metrics without the times, which no two runs share."""
    path = folder / "metrics.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{name: value for name, value in row.items() if not name.startswith(("time/", "perf/"))} for row in found]


@pytest.fixture(scope="module")
def config_file(settings, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("resume") / "config.yaml"
    adaptive = {"kl": {"coefficient": 0.05, "target": 0.1}, "entropy_coefficient": 0.01, "entropy_target": 1.0}
    extra = {"layout": {"pipeline": 2}, "algorithm": {"name": "grpo", **adaptive}}
    path.write_text(yaml.safe_dump(merge(settings, extra)))
    return path


@pytest.fixture(scope="module")
def unbroken(config_file) -> Path:
    folder = config_file.parent / "unbroken"
    finish("train", str(config_file), "--run.folder", str(folder))
    return folder


def killed_when(condition, config_file: Path, folder: Path, *options: str) -> None:
    process = start("train", str(config_file), "--run.folder", str(folder), *options)
    try:
        wait_for(lambda: condition(folder), process=process)
    finally:
        kill_everything(process)


def in_third_step(folder: Path) -> bool:
    path = folder / "metrics.jsonl"
    return path.exists() and path.read_text().count("\n") == 3


def writing_second_checkpoint(folder: Path) -> bool:
    return any((folder / "checkpoints").glob("step_000004.partial/policy/*"))


@pytest.mark.parametrize("moment", [in_third_step, pytest.param(writing_second_checkpoint, marks=pytest.mark.slow)])
def test_killed_and_resumed_equals_unbroken(config_file, unbroken, moment):
    folder = config_file.parent / moment.__name__
    killed_when(moment, config_file, folder)
    assert not (folder / "hf").exists()
    finish("resume", str(folder))
    assert_same(folder, unbroken)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, REQUEUE), pytest.param(signal.SIGINT, INTERRUPTED, marks=pytest.mark.slow)]
)
def test_stopped_in_a_step_and_resumed_equals_unbroken(config_file, unbroken, number, status):
    """Nothing is saved yet then: the step in which the signal comes is finished, and saved although it is not due."""
    folder = config_file.parent / f"stopped_{number.name}"
    process = start("train", str(config_file), "--run.folder", str(folder), "--run.save_every", "4")
    try:
        wait_for(lambda: any(row["step"] == 1 for row in rows(folder)), process=process)
        process.send_signal(number)
        _, said = process.communicate(timeout=DEADLINE_S)
    finally:
        kill_everything(process)
    failure = json.loads((folder / "failure.json").read_text())
    done, *saved = failure["step"], *(folder / "checkpoints").iterdir()
    assert (process.returncode, failure["status"]) == (status, status), said
    assert 1 <= done < 4 and saved == [folder / "checkpoints" / f"step_{done:06d}"]
    assert failure["resume"] == f"lmm-r1-mega resume {folder}"
    finish(*shlex.split(failure["resume"])[1:])
    assert_same(folder, unbroken)
    assert not (folder / "failure.json").exists()


@pytest.mark.slow
def test_killed_and_resumed_with_samples_in_flight_equals_unbroken(config_file):
    options = (
        "--rollout.max_staleness",
        "1",
        "--algorithm.dynamic_sampling.enabled",
        "true",
        "--algorithm.dynamic_sampling.oversampling",
        "1.5",
    )
    unbroken, folder = config_file.parent / "unbroken_ahead", config_file.parent / "ahead"
    finish("train", str(config_file), "--run.folder", str(unbroken), *options)
    killed_when(in_third_step, config_file, folder, *options)
    finish("resume", str(folder))
    assert_same(folder, unbroken)
    assert [row["staleness/max"] for row in rows(folder)] == [0, 1, 1, 1]


@pytest.mark.slow
def test_an_update_that_ruins_the_weights_leaves_the_run_as_it_was(unbroken):
    folder = unbroken.parent / "ruined"
    shutil.copytree(unbroken, folder)
    before = {path.relative_to(folder): path.read_bytes() for path in sorted((folder / "checkpoints").rglob("*")) if path.is_file()}
    process = start("resume", str(folder), "--run.steps", "6", "--run.save_every", "1", "--optimizer.learning_rate", "1e39")
    try:
        _, said = process.communicate(timeout=DEADLINE_S)
    finally:
        kill_everything(process)
    assert process.returncode == USAGE, said
    assert "step 5 of 16 samples: the update made a weight of" in said and "Lower optimizer.learning_rate 1e+39" in said
    assert {path.relative_to(folder): path.read_bytes() for path in sorted((folder / "checkpoints").rglob("*")) if path.is_file()} == before
    assert rows(folder) == rows(unbroken) and (folder / "rollouts.jsonl").read_bytes() == (unbroken / "rollouts.jsonl").read_bytes()
    finish("resume", str(folder), "--run.steps", "6", "--optimizer.learning_rate", "1e-3")
    assert [row["step"] for row in rows(folder)] == [1, 2, 3, 4, 5, 6]


def assert_same(folder: Path, unbroken: Path) -> None:
    assert rows(folder) == rows(unbroken)
    assert (folder / "hf" / "model.safetensors").read_bytes() == (unbroken / "hf" / "model.safetensors").read_bytes()
    assert (folder / "rollouts.jsonl").read_bytes() == (unbroken / "rollouts.jsonl").read_bytes()
