"""Folders of a driver that is killed, of one that lives, and of others."""

import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmm_r1_mega import doctor
from lmm_r1_mega.process import session_folder as module
from lmm_r1_mega.process.session_folder import LOCK, LONGEST_SOCKET, MAX_PARENT_BYTES, PREFIX, remove_abandoned, session_folder

DRIVER = """
import subprocess, sys
from lmm_r1_mega.process.session_folder import session_folder

with session_folder() as folder:
    (folder / "session" / "logs").mkdir(parents=True)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=sys.stdin)  # what a driver starts does not hold its folder
    print(folder, child.pid, flush=True)
    input()
"""


@pytest.fixture
def temporary(monkeypatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp") as path:
        monkeypatch.setenv("TMPDIR", path)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(path)


@pytest.fixture
def too_long(temporary, monkeypatch) -> Path:
    path = temporary / ("x" * MAX_PARENT_BYTES)
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


def finding() -> doctor.Finding:
    [found] = [one for one in doctor.examine() if one.subject == "temporary files"]
    return found


def test_the_longest_temporary_directory_has_room_for_sockets():
    for length, fits in ((MAX_PARENT_BYTES, True), (MAX_PARENT_BYTES + 1, False)):
        with socket.socket(socket.AF_UNIX) as one:
            reason = "No such file" if fits else "path too long"
            with pytest.raises(OSError, match=reason):
                one.bind("/" + "x" * (length - 1) + LONGEST_SOCKET)


def test_a_folder_is_closed_to_other_users(temporary):
    with session_folder() as folder:
        assert oct(folder.stat().st_mode) == "0o40700"


def test_a_long_temporary_directory_is_replaced(too_long):
    with session_folder() as folder:
        assert str(folder.parent) == "/tmp"
    assert finding().fix is None and f"instead of TMPDIR {too_long}" in finding().state


def test_without_a_short_temporary_directory_nothing_starts(too_long, monkeypatch):
    monkeypatch.setattr(module, "SHORT", "/nonexistent")
    with pytest.raises(ValueError, match=rf"TMPDIR {too_long} is longer than 19 bytes, .* set TMPDIR to a shorter folder"):
        session_folder().__enter__()
    assert finding().fix == "export TMPDIR=FOLDER, of at most 19 bytes"


def test_the_folder_of_a_driver_that_was_killed_goes_when_the_next_one_starts(temporary):
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        folder = Path(driver.stdout.readline().split()[0])
        assert folder.parent == temporary
        with session_folder() as own:
            assert own != folder and (folder / "session" / "logs").is_dir(), "its driver lives"
            driver.send_signal(signal.SIGKILL)
            driver.wait()
            assert (folder / LOCK).is_file(), "nobody has cleaned up yet"
            with session_folder() as another:
                assert sorted(temporary.iterdir()) == sorted([own, another])
    finally:
        driver.kill()
        driver.communicate()
    assert list(temporary.iterdir()) == []


def test_a_folder_goes_with_an_error_too(temporary):
    with pytest.raises(RuntimeError), session_folder() as folder:
        (folder / "file").touch()
        raise RuntimeError
    assert list(temporary.iterdir()) == []


def test_what_is_not_ours_stays(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / LOCK).touch()
    unmarked, other, linked, file = (tmp_path / name for name in (f"{PREFIX}unmarked", "other", f"{PREFIX}linked", f"{PREFIX}file"))
    unmarked.mkdir()
    other.mkdir()
    (other / LOCK).touch()
    linked.symlink_to(outside)
    file.touch()
    before = sorted(tmp_path.rglob("*"))
    remove_abandoned(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    (unmarked / LOCK).touch()
    remove_abandoned(tmp_path)
    assert sorted(tmp_path.rglob("*")) == [path for path in before if path != unmarked]
