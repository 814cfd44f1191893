"""A checkpoint is complete or does not count."""

import json
import subprocess
import sys

import pytest
import xxhash

from lmm_r1_mega.record.checkpoints import Checkpoint, find_damage, newest_checkpoint, step_folder, write_checkpoint


def save(checkpoints, step, *, keep=10, content=b"weights"):
    with write_checkpoint(checkpoints, step, keep=keep) as folder:
        (folder / "policy").mkdir()
        (folder / "policy" / "shard.bin").write_bytes(content * step)
        (folder / "state.json").write_text(str(step))


def names(checkpoints):
    return sorted(path.name for path in checkpoints.iterdir())


def test_it_appears_at_the_end_of_the_block_with_its_manifest(tmp_path):
    with write_checkpoint(tmp_path, 40, keep=2) as folder:
        assert folder.name == "step_000040.partial"
        (folder / "a.bin").write_bytes(b"abc")
        assert newest_checkpoint(tmp_path) is None
    assert names(tmp_path) == ["step_000040"]
    manifest = json.loads((tmp_path / "step_000040" / "manifest.json").read_text())
    assert manifest == {"a.bin": {"bytes": 3, "xxh3": xxhash.xxh3_128_hexdigest(b"abc")}}
    assert newest_checkpoint(tmp_path) == Checkpoint(40, tmp_path / "step_000040")


def test_the_newest_ones_are_kept_and_the_older_deleted_after_the_new_one_is_there(tmp_path):
    for step in (1, 2, 3):
        save(tmp_path, step, keep=2)
    assert names(tmp_path) == ["step_000002", "step_000003"]


def test_a_failing_block_leaves_the_older_checkpoints_alone(tmp_path):
    save(tmp_path, 1, keep=1)
    with pytest.raises(RuntimeError, match="engine"), write_checkpoint(tmp_path, 2, keep=1) as folder:
        (folder / "half").write_bytes(b"x")
        raise RuntimeError("engine died")
    assert names(tmp_path) == ["step_000001"]
    assert newest_checkpoint(tmp_path).step == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from lmm_r1_mega.record.checkpoints import write_checkpoint
with write_checkpoint(Path(sys.argv[1]), 2, keep=1) as folder:
    (folder / "half").write_bytes(b"x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_never_counts_and_goes_with_the_next_one(tmp_path):
    save(tmp_path, 1, keep=2)
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=60, check=False).returncode == -9
    assert names(tmp_path) == ["step_000001", "step_000002.partial"]
    assert newest_checkpoint(tmp_path).step == 1
    save(tmp_path, 2, keep=2)
    assert names(tmp_path) == ["step_000001", "step_000002"]
    assert find_damage(tmp_path / "step_000002") is None


FILLED = """
import resource, sys
from pathlib import Path
from lmm_r1_mega.errors import DiskFull
from lmm_r1_mega.record.checkpoints import write_checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with write_checkpoint(Path(sys.argv[1]), 2, keep=1) as folder:
        (folder / "weights").write_bytes(b"x" * 2000)
except DiskFull as error:
    print(error)
"""


def test_without_room_the_older_checkpoint_stays_and_the_new_one_leaves_nothing(tmp_path):
    save(tmp_path, 1, keep=1)
    done = subprocess.run([sys.executable, "-c", FILLED, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(f"no room to write {tmp_path / 'step_000002'}")
    assert names(tmp_path) == ["step_000001"] and find_damage(tmp_path / "step_000001") is None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "policy" / "shard.bin").unlink(), "policy/shard.bin is missing"),
        (lambda folder: (folder / "policy" / "shard.bin").write_bytes(b"short"), "has 5 bytes instead of 14"),
        (lambda folder: (folder / "policy" / "shard.bin").write_bytes(b"weightsWeights"), "has changed since it was written"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json cannot be read"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_with_the_reason(tmp_path, caplog, damage, message):
    save(tmp_path, 1)
    save(tmp_path, 2)
    damage(tmp_path / "step_000002")
    assert newest_checkpoint(tmp_path) == Checkpoint(1, step_folder(tmp_path, 1))
    assert message in caplog.text


def test_a_step_can_be_written_again(tmp_path):
    save(tmp_path, 3, content=b"first")
    save(tmp_path, 3, content=b"second")
    assert (tmp_path / "step_000003" / "policy" / "shard.bin").read_bytes() == b"second" * 3
    assert names(tmp_path) == ["step_000003"]


def test_steps_are_ordered_by_number_and_other_folders_ignored(tmp_path):
    for step in (999_999, 1_000_000):
        save(tmp_path, step, content=b"")
    (tmp_path / "step_best").mkdir()
    assert newest_checkpoint(tmp_path).step == 1_000_000


def test_no_folder_has_no_checkpoint(tmp_path):
    assert newest_checkpoint(tmp_path / "checkpoints") is None
