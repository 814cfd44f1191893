"""The parent process: signals, exit statuses, last words, and nothing left behind, shown with drivers that hang, crash and fork."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

DEADLINE_S = 60  # a hang detector
PARENT = "import sys; from lmm_r1_mega import parent; sys.exit(parent.supervise([sys.executable, '-c', *sys.argv[1:]]))"
DRIVER = """
import os, signal, subprocess, sys, time
from pathlib import Path
from lmm_r1_mega import progress
from lmm_r1_mega.errors import Stopped, exit_status

def note(what):  # a file that says how far the driver is
    (Path(sys.argv[1]) / what).touch()

def daemon():  # in a session of its own, and nobody's child
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            (Path(sys.argv[1]) / "daemon.partial").write_text(str(os.getpid()))
            os.rename(Path(sys.argv[1]) / "daemon.partial", Path(sys.argv[1]) / "daemon")
            time.sleep(1000)
        os._exit(0)
    os.wait()

def steps(number):
    for done in range(1, number + 1):
        progress.enter("update", in_step=True)
        note(f"in_{done}")
        while not progress.is_asked_to_stop():
            time.sleep(0.01)
        progress.tell(step=done)
        try:
            progress.stop_if_asked(done)
        except Stopped as error:
            progress.tell(status=exit_status(error), cause=str(error))

progress.connect()
"""
IN_RUN = "progress.tell(folder=sys.argv[1], step=0)\n"


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[[str], subprocess.Popen]]:
    """Starts a parent whose driver runs some lines after those of `DRIVER`; nothing of it outlives the test."""
    started = []

    def start(lines: str) -> subprocess.Popen:
        command = [sys.executable, "-c", PARENT, DRIVER + textwrap.dedent(lines), str(tmp_path)]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def wait_for(path: Path) -> Path:
    deadline = time.monotonic() + DEADLINE_S
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path.name}"
        time.sleep(0.005)
    return path


def end(process: subprocess.Popen) -> tuple[int, str]:
    _, said = process.communicate(timeout=DEADLINE_S)
    return process.returncode, said


def check_gone(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        deadline = time.monotonic() + DEADLINE_S
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:  # where the machine's first process waits for nobody
            assert time.monotonic() < deadline, f"process {pid} is left"
            time.sleep(0.005)


@pytest.mark.parametrize(
    ("lines", "status", "cause"),
    [
        ("progress.tell(status=0)", 0, ""),
        ("progress.tell(status=2)", 2, ""),
        ("progress.tell(status=65, cause='bad rows')", 65, "bad rows"),
        ("progress.tell(status=0); os.kill(os.getpid(), signal.SIGSEGV)", 0, ""),
        ("os._exit(0)", 70, "the driver ended with status 0 and without a word"),
        ("os._exit(75)", 70, "the driver ended with status 75 and without a word"),
        ("os.abort()", 70, "the driver crashed (SIGABRT)"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 70, "the driver crashed (SIGSEGV)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 75, "the driver was killed (SIGKILL): by somebody, or by the system where memory ran out"),
    ],
)
def test_every_end_of_a_driver_has_a_status_and_a_sentence(start, lines, status, cause):
    assert end(start(lines)) == (status, f"lmm-r1-mega: {cause}\n" if cause else "")


@pytest.mark.parametrize(
    ("number", "status", "way_out"),
    [(signal.SIGTERM, 75, ""), (signal.SIGUSR1, 75, ""), (signal.SIGINT, 130, "; Ctrl-C once more ends at once")],
)
def test_a_signal_finishes_the_step_and_saves(start, tmp_path, number, status, way_out):
    process = start(IN_RUN + "steps(1)")
    wait_for(tmp_path / "in_1")
    process.send_signal(number)
    resume = shlex.join(["lmm-r1-mega", "resume", str(tmp_path)])
    cause = "stopped as asked after step 1, which is saved"
    assert end(process) == (
        status,
        f"lmm-r1-mega: finishing step 1, then saving{way_out}\nlmm-r1-mega: {cause}\n"
        f"lmm-r1-mega: all of the run is in {tmp_path}; go on with `{resume}`\n",
    )
    found = json.loads((tmp_path / "failure.json").read_text())
    assert found.pop("time").endswith("Z")
    assert found == {"status": status, "cause": cause, "process": "driver", "phase": "update", "step": 1, "resume": resume}


@pytest.mark.parametrize(("number", "status", "word"), [(signal.SIGTERM, 75, "asked to end"), (signal.SIGINT, 130, "interrupted")])
def test_before_the_first_step_a_signal_ends_at_once(start, tmp_path, number, status, word):
    process = start("signal.signal(signal.SIGTERM, signal.SIG_IGN); daemon(); time.sleep(1000)")
    daemon = int(wait_for(tmp_path / "daemon").read_text())
    process.send_signal(number)
    assert end(process) == (status, f"lmm-r1-mega: {word} before the first step: nothing was to be saved\n")
    check_gone(daemon)


def test_ctrl_c_twice_ends_at_once_and_leaves_nothing(start, tmp_path):
    process = start(IN_RUN + "daemon(); progress.enter('update', in_step=True); note('in_1')\nwhile True: time.sleep(1)")
    daemon = int(wait_for(tmp_path / "daemon").read_text())
    wait_for(tmp_path / "in_1")
    driver = psutil.Process(process.pid).children()[0]
    process.send_signal(signal.SIGINT)
    assert "finishing step 1" in process.stderr.readline()
    assert driver.is_running()
    process.send_signal(signal.SIGINT)
    status, said = end(process)
    assert (status, said.splitlines()[0]) == (130, "lmm-r1-mega: interrupted twice: ended at once")
    for pid in (daemon, driver.pid):
        check_gone(pid)


def test_one_ctrl_c_at_a_terminal_reaches_the_parent_alone(start, tmp_path):
    """A terminal signals its foreground process group; the driver is in another, and in another session."""
    process = start("note('up'); time.sleep(1000)")
    wait_for(tmp_path / "up")
    driver = psutil.Process(process.pid).children()[0]
    assert os.getpgid(driver.pid) == os.getsid(driver.pid) == driver.pid != os.getsid(process.pid)


def test_a_success_leaves_no_daemon_and_no_old_failure(start, tmp_path):
    (tmp_path / "failure.json").write_text("{}")
    assert end(start(IN_RUN + "daemon(); progress.tell(status=0)")) == (0, "")
    check_gone(int(wait_for(tmp_path / "daemon").read_text()))
    assert not (tmp_path / "failure.json").exists()


def test_a_driver_dies_with_its_parent_however_busy_it_is(start, tmp_path):
    process = start("note('up')\nsum(range(10**12))")
    wait_for(tmp_path / "up")
    driver = psutil.Process(process.pid).children()[0]
    process.kill()
    check_gone(driver.pid)


def test_a_driver_that_does_not_leave_after_its_last_words_is_ended(start, tmp_path):
    program = PARENT.replace("sys.exit", "parent.LEAVE_LIMIT_S = 0.1; sys.exit")
    command = [sys.executable, "-c", program, DRIVER + "progress.tell(status=0); time.sleep(1000)", str(tmp_path)]
    assert subprocess.run(command, timeout=DEADLINE_S, check=False).returncode == 0


def test_processes_that_were_there_before_are_left_alone(tmp_path):
    program = PARENT.replace("sys.exit(", "import subprocess; other = subprocess.Popen(['sleep', '1000']); status = ", 1)
    program = program[:-1] + "; print(other.poll()); other.kill(); other.wait(); sys.exit(status)"
    command = [sys.executable, "-c", program, DRIVER + "daemon(); progress.tell(status=0)", str(tmp_path)]
    done = subprocess.run(command, timeout=DEADLINE_S, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr


def test_no_temporary_file_is_left_of_a_driver_that_is_killed(start, tmp_path, monkeypatch):
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp") as temporary:
        monkeypatch.setenv("TMPDIR", temporary)
        process = start("""
            import tempfile
            (Path(sys.argv[1]) / "where").write_text(tempfile.mkdtemp())
            os.kill(os.getpid(), signal.SIGKILL)
        """)
        process.communicate(timeout=DEADLINE_S)
        where = Path((tmp_path / "where").read_text())
        assert where.is_relative_to(temporary) and not where.exists()
        assert list(Path(temporary).iterdir()) == []
