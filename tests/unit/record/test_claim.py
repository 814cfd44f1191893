"""One process at a time writes to a run's folder: real processes race for it."""

import errno
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from lmm_r1_mega.errors import REQUEUE, USAGE, StorageFailed, exit_status
from lmm_r1_mega.record.claim import LOCK_FILE, claim

RACER = """
import sys, time
from pathlib import Path
from lmm_r1_mega.record.claim import claim
while line := sys.stdin.readline():
    folder, start = line.split()
    while time.time() < float(start):
        pass
    try:
        with claim(Path(folder)):
            print("owner", flush=True)
            sys.stdin.readline()
        print("free", flush=True)
    except ValueError as error:
        print(f"refused {error}", flush=True)
"""


@pytest.fixture
def racers():
    command = [sys.executable, "-c", RACER]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    yield started
    for racer in started:
        racer.kill()
        racer.communicate()


def say(racer, text):
    racer.stdin.write(text + "\n")
    racer.stdin.flush()


def hear(racer):
    return racer.stdout.readline().strip()


@pytest.mark.parametrize("num_races", [20, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("is_new", [True, False], ids=["new", "earlier"])
def test_of_processes_that_start_at_once_one_is_the_owner_and_the_others_name_it(racers, tmp_path, num_races, is_new):
    for race in range(num_races):
        folder = tmp_path / str(race)
        if not is_new:
            folder.mkdir()
            (folder / "run.json").write_text("{}")
        for racer in racers:
            say(racer, f"{folder} {time.time() + 0.005}")
        answers = {racer.pid: hear(racer) for racer in racers}
        [owner] = [racer for racer in racers if answers[racer.pid] == "owner"]
        refused = {answer for pid, answer in answers.items() if pid != owner.pid}
        assert refused == {
            f"refused another process is writing to {folder} (process {owner.pid} on {socket.gethostname()}): wait for it, or stop it"
        }
        say(owner, "")
        assert hear(owner) == "free"
        assert not (folder / LOCK_FILE).exists()


CRUSH = """
import os, sys
from pathlib import Path
from lmm_r1_mega.record.claim import claim
folder, mark, owned = Path(sys.argv[1]), sys.argv[2], 0
for _ in range(int(sys.argv[3])):
    try:
        with claim(folder):
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            os.unlink(mark)
            owned += 1
    except ValueError:
        pass
print(owned)
"""


@pytest.mark.parametrize("num_tries", [200, pytest.param(5000, marks=pytest.mark.slow)])
def test_a_folder_that_comes_and_goes_never_has_two_owners(tmp_path, num_tries):
    """Each try makes the folder and its lock, and takes both away again: a second owner would meet the first one's mark."""
    command = [sys.executable, "-c", CRUSH, str(tmp_path / "run"), str(tmp_path / "mark"), str(num_tries)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], outputs
    assert sum(int(out) for out, _ in outputs) > 0
    assert [path for path in tmp_path.rglob("*") if path != tmp_path / "run"] == []


def test_what_a_killed_owner_leaves_is_taken_over(racers, tmp_path):
    dead, living, late, _ = racers
    say(dead, f"{tmp_path / 'run'} 0")
    assert hear(dead) == "owner"
    os.kill(dead.pid, signal.SIGKILL)
    dead.wait()
    assert (tmp_path / "run" / LOCK_FILE).read_text() == f"process {dead.pid} on {socket.gethostname()}"
    say(living, f"{tmp_path / 'run'} 0")
    assert hear(living) == "owner"
    say(late, f"{tmp_path / 'run'} 0")
    assert f"(process {living.pid} on" in hear(late)


def test_a_lock_on_a_file_that_its_last_owner_removed_is_none(tmp_path, monkeypatch):
    """The owner removes the file between our opening and locking it; a third process could make and lock another."""
    flock, calls = fcntl.flock, []

    def late(file, operation):
        if not calls:
            (tmp_path / LOCK_FILE).unlink()
        calls.append(operation)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with claim(tmp_path):
        assert len(calls) == 2 and (tmp_path / LOCK_FILE).read_text().startswith(f"process {os.getpid()} on ")


def test_children_do_not_keep_it(tmp_path):
    with claim(tmp_path / "run"):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    with claim(tmp_path / "run"):
        assert child.poll() is None
    child.communicate()


def test_it_stays_with_what_was_written(tmp_path):
    with claim(tmp_path / "a" / "run"):
        (tmp_path / "a" / "run" / "config.yaml").write_text("")
    assert [path.name for path in (tmp_path / "a" / "run").iterdir()] == ["config.yaml"]
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new"):
        with pytest.raises(RuntimeError), claim(tmp_path / name):
            raise RuntimeError
    assert list((tmp_path / "empty").iterdir()) == [] and not (tmp_path / "new").exists()


@pytest.mark.parametrize("code", [errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES])
def test_only_what_the_system_says_of_anothers_lock_means_another_process(tmp_path, monkeypatch, code):
    monkeypatch.setattr(fcntl, "flock", raising(code))
    (tmp_path / LOCK_FILE).write_text("process 1 on node7")
    with pytest.raises(ValueError, match=re.escape(f"another process is writing to {tmp_path} (process 1 on node7)")), claim(tmp_path):
        pass


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        (errno.ENOLCK, USAGE, "cannot be locked (No locks available): choose one on a file system with locks"),
        (errno.ENOSYS, USAGE, "cannot be locked (Function not implemented)"),
        (errno.EBADF, USAGE, "cannot be locked (Bad file descriptor)"),
        (errno.EIO, REQUEUE, "cannot be read or written (Input/output error)"),
        (errno.ESTALE, REQUEUE, "cannot be read or written (Stale file handle)"),
    ],
)
def test_other_errors_of_the_lock_are_said_as_they_are(tmp_path, monkeypatch, code, status, message):
    monkeypatch.setattr(fcntl, "flock", raising(code))
    with pytest.raises((ValueError, StorageFailed), match=re.escape(message)) as caught, claim(tmp_path):
        pass
    assert exit_status(caught.value) == status and str(tmp_path) in str(caught.value)


def raising(code):
    def flock(file, operation):
        assert operation == fcntl.LOCK_EX | fcntl.LOCK_NB
        assert fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR, "network file systems lock what is open for writing"
        raise OSError(code, os.strerror(code))

    return flock


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"run.folder .*file/run cannot be made: Not a directory"), claim(tmp_path / "file" / "run"):
        pass
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK_FILE).symlink_to(tmp_path / "gone" / "lock")
    with pytest.raises(ValueError, match=r"cannot be made: No such file"), claim(tmp_path / "run"):
        pass
