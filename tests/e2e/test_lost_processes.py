"""A run whose processes are killed or whose disk is full stops at once with status 75, leaves no process, and goes on with `resume`."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from lmm_r1_mega.config.reading import merge
from lmm_r1_mega.errors import DONE, INTERRUPTED, REQUEUE, USAGE

DEADLINE_S = 240
STOP_LIMIT_S = 60  # a hang detector: idle it takes about four
REWARD = '''"""Hangs on some responses and fails on others: what a run has to survive."""

import time
import zlib


def reward_func(queries, prompts, labels):
    kinds = [zlib.crc32(query.encode()) % 8 for query in queries]
    if 0 in kinds:
        time.sleep(60)
    if 1 in kinds:
        raise ValueError("no number")
    return [query.count("e") / 4 for query in queries]
'''


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts a command; at the end of the test nothing of it is left, however the test ends."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen:
            command = [sys.executable, "-W", "ignore", "-m", "lmm_r1_mega.cli", *arguments]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            stack.callback(kill_family, process)
            return process

        yield start


def kill_family(process: subprocess.Popen) -> None:
    """kill -9 of a command that still runs and of all that it started."""
    if process.poll() is None:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()


def end(process: subprocess.Popen, *, status: int, timeout_s: float = DEADLINE_S) -> str:
    """What a command says at its end. None of the processes that it has by then started is left."""
    family = psutil.Process(process.pid).children(recursive=True)
    _, said = process.communicate(timeout=timeout_s)
    assert process.returncode == status, said
    _, left = psutil.wait_procs(family, timeout=10)
    assert not left
    return said


def at_work(process: subprocess.Popen, title: str) -> psutil.Process:
    """A process of a run once its title, Ray's for the class and method that it is in, or its command line matches."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before anything could be killed"
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if re.search(title, " ".join(child.cmdline())):
                    return child
        time.sleep(0.002)
    raise AssertionError(f"no process {title}")


class Disk:
    """A file system of its own where this machine lets us mount one, else a plain folder."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.path = path
        mount = ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(path)]
        self.is_small = shutil.which("mount") is not None and subprocess.run(mount, capture_output=True, check=False).returncode == 0

    def resize(self, num_bytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={num_bytes}", str(self.path)], check=True)

    def close(self) -> None:
        if self.is_small:
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    with contextlib.closing(Disk(tmp_path / "disk")) as disk:
        yield disk


@pytest.fixture
def config_file(settings, tmp_path) -> str:
    (tmp_path / "reward.py").write_text(REWARD)
    changes = {
        "layout": {"max_tokens_per_microbatch": 1024},
        "rollout": {"max_response_tokens": 64},
        "reward": {"function": str(tmp_path / "reward.py"), "timeout_s": 0.1},
        "run": {"steps": 2, "save_every": 1, "keep_checkpoints": 1},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(merge(settings, changes)))
    return str(path)


def check_finished(run: Path) -> None:
    """All steps once, every sample accounted for, the model exported."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    for row in rows:
        assert row["samples/dispatched"] == 16 == row["samples/trained"] + row["samples/invalid"]
    dropped = {name for row in rows for name in row if name.startswith("invalid/")}
    assert dropped == {"invalid/function: timeout", "invalid/function: raised ValueError"}
    assert (run / "hf" / "config.json").is_file()


def test_a_run_loses_its_engine_during_generation_and_goes_on(start, config_file, tmp_path):
    run = tmp_path / "run"
    process = start("train", config_file, "--run.folder", str(run))
    engine = at_work(process, r"RolloutWorker\.answer")
    assert engine.nice() == psutil.Process(process.pid).nice(), "whatever else computes on the machine goes first"
    engine.kill()
    said = end(process, status=REQUEUE, timeout_s=STOP_LIMIT_S)
    assert said.startswith("lmm-r1-mega: rollout engine 0 died during generation\n"), said
    failure = json.loads((run / "failure.json").read_text())
    assert (failure["status"], failure["process"], failure["phase"], failure["step"]) == (REQUEUE, "rollout engine 0", "generate", 0)
    assert f"go on with `{failure['resume']}`" in said

    end(start(*shlex.split(failure["resume"])[1:]), status=DONE)
    assert not (run / "failure.json").exists()
    check_finished(run)


@pytest.mark.parametrize(
    ("program", "name"), [("/gcs_server ", "Ray's GCS"), pytest.param("/raylet/raylet ", "Ray's raylet", marks=pytest.mark.slow)]
)
def test_a_run_loses_ray_itself(start, config_file, tmp_path, program, name):
    run = tmp_path / "run"
    process = start("train", config_file, "--run.folder", str(run))
    at_work(process, r"ray::TrainWorker")
    at_work(process, program).kill()
    said = end(process, status=REQUEUE, timeout_s=STOP_LIMIT_S)
    assert re.match(f"lmm-r1-mega: .*{name}.* died: no connection is taken there\n", said), said
    assert len(said.splitlines()) == 2, "Ray's own logs are no message"
    assert json.loads((run / "failure.json").read_text())["resume"] == f"lmm-r1-mega resume {run}"


def test_ctrl_c_twice_ends_a_run_at_once(start, config_file, tmp_path):
    process = start("train", config_file, "--run.folder", str(tmp_path / "run"))
    at_work(process, r"RolloutWorker\.answer")
    process.send_signal(signal.SIGINT)
    assert "finishing step 1, then saving; Ctrl-C once more ends at once" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    said = end(process, status=INTERRUPTED, timeout_s=STOP_LIMIT_S)
    assert said.startswith("lmm-r1-mega: interrupted twice: ended at once\n"), said


@pytest.mark.slow
def test_nothing_of_a_run_outlives_a_parent_that_is_killed(start, config_file, tmp_path):
    process = start("train", config_file, "--run.folder", str(tmp_path / "run"))
    at_work(process, r"RolloutWorker\.answer")
    end_of = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    _, left = psutil.wait_procs(end_of, timeout=STOP_LIMIT_S)
    assert not left


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_rank_that_hangs_is_found(start, config_file, tmp_path):
    """Its limit is shorter here than the learned one may ever be."""
    run = tmp_path / "run"
    process = start("train", config_file, "--run.folder", str(run), "--cluster.step_timeout_s", "120", "--layout.tensor", "2")
    rank = at_work(process, r"TrainWorker\.update_policy")
    rank.suspend()
    said = end(process, status=REQUEUE, timeout_s=DEADLINE_S)
    assert re.search(r"(?m)^lmm-r1-mega: trainer rank \d.* did not finish the policy update: its limit of 120 s is over", said), said
    stacks = (run / "stacks.txt").read_text().split("== ")
    stopped, waiting = sorted((one for one in stacks if "ray::TrainWorker.update_policy" in one), key=len)
    assert re.match(rf"trainer rank \d, process {rank.pid}, ray::TrainWorker.update_policy.*\nno answer", stopped), stacks
    assert "lmm_r1_mega/training/pipeline.py" in waiting, stacks


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_loses_a_rank_and_the_room_on_the_disk_and_goes_on(start, config_file, disk):
    run = disk.path / "run"
    process = start("train", config_file, "--run.folder", str(run), "--layout.tensor", "2")
    at_work(process, r"TrainWorker\.update_policy").kill()
    said = end(process, status=REQUEUE, timeout_s=STOP_LIMIT_S)
    assert re.search(r"trainer rank \d died during the policy update", said)

    if not disk.is_small:
        pytest.skip("no file system can be mounted here, so none can be full; the first half of this test passed")
    disk.resize(shutil.disk_usage(disk.path).used + 4 * 2**20)
    said = end(start("resume", str(run), "--layout.tensor", "1"), status=REQUEUE)
    assert re.search(r"no room .*run/checkpoints/.*nothing written before is lost; make room, then `lmm-r1-mega resume`", said)

    disk.resize(256 * 2**20)
    end(start("resume", str(run), "--layout.tensor", "1"), status=DONE)
    check_finished(run)


def test_an_engine_that_cannot_be_made_is_a_wrong_setting_and_no_loss(start, task, config_file):
    """Status 75 would have a cluster try it again and again."""
    options = ["--rollout.kv_cache_gib", "0.00001", "--reward.weights", "accuracy", "1", "--reward.function", "None"]
    said = end(start("eval", str(task / "model"), str(task / "data" / "fre.jsonl"), config_file, *options), status=USAGE)
    assert "lmm-r1-mega: rollout engine 0 cannot start: No available memory for the cache blocks" in said


@pytest.mark.slow
def test_a_run_whose_machine_has_no_memory_left_may_go_on_later(start, config_file, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.001")  # every machine is full then
    said = end(start("train", config_file, "--run.folder", str(tmp_path / "run")), status=REQUEUE)
    assert re.search(r"was ended during .* because its machine has no memory left \(\S+ used / \S+ limit\): .* resume RUN", said)
