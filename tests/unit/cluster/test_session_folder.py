"""Folders of a driver that is killed, of one that lives, and of others."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lmm_r1_mega.cluster.session_folder import LOCK, PREFIX, remove_abandoned, session_folder

DRIVER = """
import subprocess, sys
from lmm_r1_mega.cluster.session_folder import session_folder

with session_folder() as folder:
    (folder / "session" / "logs").mkdir(parents=True)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=sys.stdin)  # what a driver starts does not hold its folder
    print(folder, child.pid, flush=True)
    input()
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


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
