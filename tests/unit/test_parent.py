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
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from lmm_r1_mega.process import parent
from lmm_r1_mega.process.progress import Progress

DEADLINE_S = 60  # a hang detector
PARENT = """
import sys
from lmm_r1_mega.process import parent
parent.SHORTEST_LIMIT_S = 1.0
sys.exit(parent.supervise([sys.executable, '-c', *sys.argv[1:]]))
"""
DRIVER = """
import os, signal, subprocess, sys, time
from pathlib import Path
from lmm_r1_mega.process import progress
from lmm_r1_mega.errors import Stopped, exit_status

def note(what):  # a file that says how far the driver is
    (Path(sys.argv[1]) / what).touch()

def daemon():  # in a session of its own, and nobody's child; it has said its number when this returns
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            (Path(sys.argv[1]) / "daemon.partial").write_text(str(os.getpid()))
            os.rename(Path(sys.argv[1]) / "daemon.partial", Path(sys.argv[1]) / "daemon")
            time.sleep(1000)
        os._exit(0)
    os.wait()
    while not (Path(sys.argv[1]) / "daemon").exists():
        time.sleep(0.01)

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


def driver_of(process: subprocess.Popen) -> psutil.Process:
    """The child of a parent that is no fork of it, and leads its session."""
    parent = psutil.Process(process.pid)
    [driver] = [one for one in parent.children() if one.cmdline() != parent.cmdline() and os.getsid(one.pid) == one.pid]
    return driver


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
    driver = driver_of(process)
    process.send_signal(signal.SIGINT)
    assert "finishing step 1" in process.stderr.readline()
    assert driver.is_running()
    process.send_signal(signal.SIGINT)
    status, said = end(process)
    assert (status, said.splitlines()[0]) == (130, "lmm-r1-mega: interrupted twice: ended at once")
    for pid in (daemon, driver.pid):
        check_gone(pid)


def test_a_resumed_run_goes_on_with_the_options_that_it_was_given(capsys, tmp_path):
    """Until it has gone on, its folder holds the settings of before."""
    words = ["resume", str(tmp_path), "--run.steps", "5"]
    parent.conclude(Progress(folder=str(tmp_path)), parent.End(75, "why"), again=words)
    assert f"go on with `lmm-r1-mega {' '.join(words)}`" in capsys.readouterr().err
    assert json.loads((tmp_path / "failure.json").read_text())["resume"] == f"lmm-r1-mega {' '.join(words)}"


def test_one_ctrl_c_at_a_terminal_reaches_the_parent_alone(start, tmp_path):
    """A terminal signals its foreground process group; the driver is in another, and in another session."""
    process = start("note('up'); time.sleep(1000)")
    wait_for(tmp_path / "up")
    driver = driver_of(process)
    assert os.getpgid(driver.pid) == os.getsid(driver.pid) == driver.pid != os.getsid(process.pid)


def test_a_success_leaves_no_daemon_and_no_old_failure(start, tmp_path):
    (tmp_path / "failure.json").write_text("{}")
    assert end(start(IN_RUN + "daemon(); progress.tell(status=0)")) == (0, "")
    check_gone(int(wait_for(tmp_path / "daemon").read_text()))
    assert not (tmp_path / "failure.json").exists()


def test_nothing_outlives_a_parent_that_is_killed_however_busy_it_is(start, tmp_path):
    process = start("daemon(); note('up')\nsum(range(10**12))")
    wait_for(tmp_path / "up")
    driver, daemon = driver_of(process), int(wait_for(tmp_path / "daemon").read_text())
    process.kill()
    check_gone(driver.pid)
    check_gone(daemon)


SERVER = """
import socket, threading
server = socket.create_server(("127.0.0.1", 0))
services = {"the store": server.getsockname(), "the other": server.getsockname()}
"""


@pytest.mark.parametrize(
    "lines",
    [
        "with progress.needing(services): server.close(); time.sleep(1000)",  # the driver hangs
        "with progress.needing(services): server.close(); os.abort()",
        "with progress.needing(services): server.close(); os._exit(1)",
        """
        try:
            with progress.needing(services):
                server.close()
                raise RuntimeError("connection reset")
        except Exception as error:
            progress.tell(status=exit_status(error), cause=str(error), process=error.process)
        """,
    ],
)
def test_a_server_that_the_driver_needs_dies(start, tmp_path, lines):
    status, said = end(start(IN_RUN + SERVER + textwrap.dedent(lines)))
    assert (status, said.splitlines()[0]) == (75, "lmm-r1-mega: the store and the other died: no connection is taken there")
    assert json.loads((tmp_path / "failure.json").read_text())["process"] == "the store"


def test_an_error_while_the_servers_answer_stays_what_it_is(start):
    lines = "with progress.needing(services):\n    pass\nserver.close(); progress.tell(status=65, cause='bad rows')"
    assert end(start(SERVER + lines)) == (65, "lmm-r1-mega: bad rows\n")


HANG = """
def stuck():
    time.sleep(1000)

progress.tell(silence_limit_s=1000)
for _ in range(3):
    for phase in ("generate", "update"):
        progress.enter(phase, in_step=True)
progress.tell(waits_for=["trainer rank 0", "trainer rank 3"], doing="the policy update")
RANK = "import sys, time; from lmm_r1_mega.process import stacks; stacks.register('rank'); print(flush=True); time.sleep(1000)"
subprocess.Popen([sys.executable, "-c", RANK], stdout=subprocess.PIPE).stdout.readline()
stuck()
"""


def test_a_phase_that_lasts_many_times_as_long_as_before_ends_with_the_stacks(start, tmp_path):
    status, said = end(start(IN_RUN + HANG))
    assert status == 75
    assert said.startswith("lmm-r1-mega: trainer rank 0, trainer rank 3 did not finish the policy update: nothing has happened for ")
    assert f"Python stacks are in {tmp_path}/stacks.txt\n" in said
    found = (tmp_path / "stacks.txt").read_text()
    assert "in stuck" in found and found.count("== ") == 2, found
    assert json.loads((tmp_path / "failure.json").read_text())["process"] == "trainer rank 0"


def test_a_driver_that_gives_up_is_ended_with_the_stacks(start, tmp_path):
    status, said = end(start("progress.tell(waits_for=list('abcdef'), doing='loading'); progress.give_up('its limit of 9 s is over')"))
    assert (status, said.splitlines()[-1]) == (
        75,
        "lmm-r1-mega: a, b, c, d and 2 more did not finish loading: its limit of 9 s is over; Python stacks are above",
    )
    assert "in give_up" in said


def test_a_driver_that_is_stopped_is_ended_too(start, tmp_path):
    status, _ = end(start(IN_RUN + HANG.replace("    time.sleep(1000)", "    os.kill(os.getpid(), signal.SIGSTOP)")))
    assert status == 75
    assert "no answer" in (tmp_path / "stacks.txt").read_text()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def overruns(words: list[tuple[float, str]], *, at: float) -> bool:
    """Whether a driver with these words, each at its second in a phase that begins or goes on, is late at a time."""
    clock = Clock()
    patience, said = parent.Patience(clock), Progress(silence_limit_s=3600)
    for clock.now, phase in words:
        said, before = replace(said, phase=phase), said
        patience.hear(before, said)
    clock.now = at
    return bool(patience.overrun(said))


FIRST = [(500.0, "update"), (500.1, "update"), (560.0, "")]
"""A start of 500 s, and an update that is silent for 59.9 s after its first word."""


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        ([], 3660),  # nothing is known of a start: the deadlines of the driver, and a minute
        (FIRST[:2], 500.1 + 3660),  # nor of the first update, although it has said something
        ([*FIRST, (570.0, "update")], 570 + 599),  # ten times its longest silence
        ([*FIRST, (570.0, "")], 570 + 3660),  # the first time between two phases goes on
        ([*FIRST, (570.0, "update"), (1100.0, "update")], 1100 + 5300 - 1640),  # longer silences are learned, up to the driver's deadlines
        ([*FIRST, (570.0, "prompts"), (570.2, "")], 570.2 + 300),  # short ones do not make a busy machine a hang
        ([(1.0, "score"), (2.0, "update"), (3.0, "score")], 3 + 3660),  # limited by the settings of rewards
    ],
)
def test_the_limit_of_a_silence_is_learned(words, limit):
    assert not overruns(words, at=limit - 1)
    assert overruns(words, at=limit + 1)


def test_a_driver_without_limits_is_never_late():
    assert not parent.Patience(Clock()).overrun(Progress())


def test_a_driver_that_does_not_leave_after_its_last_words_is_ended(start, tmp_path):
    program = PARENT.replace("sys.exit", "parent.LEAVE_LIMIT_S = 0.1\nsys.exit")
    command = [sys.executable, "-c", program, DRIVER + "progress.tell(status=0); time.sleep(1000)", str(tmp_path)]
    assert subprocess.run(command, timeout=DEADLINE_S, check=False).returncode == 0


def test_processes_that_were_there_before_are_left_alone(tmp_path):
    program = "import subprocess; other = subprocess.Popen(['sleep', '1000'])" + PARENT.replace("sys.exit(", "status = (")
    program += "print(other.poll()); other.kill(); other.wait(); sys.exit(status)"
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
