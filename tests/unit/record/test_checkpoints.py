"""A checkpoint is complete or does not count."""

import json
import logging
import random
import shutil
import subprocess
import sys

import pytest
import xxhash

from lmm_r1_mega.errors import BROKEN, REQUEUE, StorageFailed, exit_status
from lmm_r1_mega.record.checkpoints import (
    Checkpoint,
    find_damage,
    newest_checkpoint,
    set_newer_aside,
    step_folder,
    write_checkpoint,
)


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
        (folder / "state.json").write_bytes(b"{}")
        assert newest_checkpoint(tmp_path) is None
    assert names(tmp_path) == ["step_000040"]
    manifest = json.loads((tmp_path / "step_000040" / "manifest.json").read_text())
    assert (manifest["format"], list(manifest["files"])) == (1, ["a.bin", "state.json"])
    assert manifest["files"]["a.bin"] == {"bytes": 3, "xxh3": xxhash.xxh3_128_hexdigest(b"abc")}
    assert newest_checkpoint(tmp_path) == Checkpoint(40, tmp_path / "step_000040")


def test_the_newest_ones_are_kept_and_the_older_deleted_after_the_new_one_is_there(tmp_path):
    for step in (1, 2, 3):
        save(tmp_path, step, keep=2)
    assert names(tmp_path) == ["step_000002", "step_000003"]


def damage(checkpoints, *steps):
    """Bit rot: bytes change and sizes do not."""
    for step in steps:
        path = step_folder(checkpoints, step) / "policy" / "shard.bin"
        path.write_bytes(path.read_bytes()[::-1])


@pytest.mark.parametrize("keep", [1, 2, 3])
@pytest.mark.parametrize("damaged", [(60,), (60, 80), (60, 80, 100)])
def test_newer_damaged_checkpoints_do_not_push_a_whole_one_out(tmp_path, keep, damaged):
    """Steps 20 and 40 are whole, the newer ones rotten; the run goes on from 40 and writes 50."""
    for step in (20, 40, *damaged):
        save(tmp_path, step)
    damage(tmp_path, *damaged)
    assert newest_checkpoint(tmp_path).step == 40
    content = {step: (step_folder(tmp_path, step) / "policy" / "shard.bin").read_bytes() for step in damaged}
    aside = set_newer_aside(tmp_path, 40)
    assert {path.name for path in aside} == {f"step_{step:06d}.set_aside" for step in damaged}
    save(tmp_path, 50, keep=keep)
    assert newest_checkpoint(tmp_path).step == 50
    kept = {f"step_{step:06d}" for step in (50, 40, 20)[:keep]}
    assert set(names(tmp_path)) == kept | {path.name for path in aside}
    for step in damaged:
        assert (tmp_path / f"step_{step:06d}.set_aside" / "policy" / "shard.bin").read_bytes() == content[step]


def test_what_was_just_written_stays_beside_newer_ones(tmp_path):
    for step in (60, 80):
        save(tmp_path, step)
    save(tmp_path, 50, keep=1)
    assert names(tmp_path) == ["step_000050", "step_000060", "step_000080"]


def test_a_checkpoint_that_lacks_files_does_not_count_among_those_that_are_kept(tmp_path):
    for step in (20, 40, 60):
        save(tmp_path, step)
    (tmp_path / "step_000060" / "policy" / "shard.bin").unlink()
    save(tmp_path, 80, keep=2)
    assert names(tmp_path) == ["step_000040", "step_000060", "step_000080"]


def test_any_damage_between_any_saves_leaves_the_newest_whole_one(tmp_path):
    """Random lives of a run: saves, rot, missing files, resumes; one checkpoint that is there is always left whole."""
    draw = random.Random(0)
    for life in range(8):
        checkpoints, step, keep = tmp_path / str(life), 0, draw.randint(1, 3)
        for _ in range(12):
            step += 1
            save(checkpoints, step, keep=keep)
            assert newest_checkpoint(checkpoints).step == step
            finished = [path for path in checkpoints.iterdir() if path.name[5:].isdigit()]
            whole = [int(path.name[5:]) for path in finished if find_damage(path) is None]
            for victim in draw.sample(whole, k=draw.randint(0, len(whole) - 1)):
                draw.choice([damage, lambda where, one: shutil.rmtree(step_folder(where, one) / "policy")])(checkpoints, victim)
            if draw.random() < 0.5:
                chosen = newest_checkpoint(checkpoints)
                assert chosen is not None, "one was left whole"
                set_newer_aside(checkpoints, chosen.step)
                step = chosen.step


def test_what_is_set_aside_twice_is_kept_twice(tmp_path):
    for content in (b"first", b"second"):
        save(tmp_path, 3, content=content)
        set_newer_aside(tmp_path, 2)
    assert names(tmp_path) == ["step_000003.set_aside", "step_000003.set_aside.2"]
    assert (tmp_path / "step_000003.set_aside" / "policy" / "shard.bin").read_bytes() == b"first" * 3


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
        (lambda folder: (folder / "manifest.json").write_text("[" * 100_000), "manifest.json cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "manifest.json cannot be read (format: Field required)"),
        (lambda folder: edited(folder, format=2), "manifest.json cannot be read (format: Input should be 1)"),
        (lambda folder: edited(folder, files=[]), "manifest.json cannot be read (files: "),
        (lambda folder: edited(folder, files={}), "manifest.json has changed since it was written"),
        (lambda folder: edited(folder, files={"state.json": {"bytes": 1}}), "(files.state.json.xxh3: Field required)"),
        (lambda folder: edited(folder, files={"state.json": 1}), "manifest.json cannot be read (files.state.json"),
        (lambda folder: edited(folder, digest="0" * 32), "manifest.json has changed since it was written"),
        (lambda folder: older_format(folder), "manifest.json cannot be read (format: Field required)"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_with_the_reason(tmp_path, caplog, damage, message):
    save(tmp_path, 1)
    save(tmp_path, 2)
    damage(tmp_path / "step_000002")
    assert newest_checkpoint(tmp_path) == Checkpoint(1, step_folder(tmp_path, 1))
    assert message in caplog.text


def edited(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def older_format(folder):
    """As manifests were before they had a format."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text())["files"]))


def test_a_checkpoint_without_the_drivers_part_does_not_count(tmp_path):
    with write_checkpoint(tmp_path, 1, keep=1) as folder:
        (folder / "a.bin").write_bytes(b"abc")
    assert find_damage(tmp_path / "step_000001") == "its manifest.json has no state.json"


def test_a_manifest_cut_or_changed_anywhere_never_counts(tmp_path):
    """Cut at every byte; and at every byte another one: what still reads as the same manifest is the only exception."""
    save(tmp_path, 1)
    path = tmp_path / "step_000001" / "manifest.json"
    whole, draw = path.read_bytes(), random.Random(0)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert find_damage(path.parent) is not None
    for place in range(len(whole)):
        for new in (draw.randrange(256), ord(draw.choice('0123456789abcdef"{}[]:, '))):
            path.write_bytes(whole[:place] + bytes([new]) + whole[place + 1 :])
            assert (find_damage(path.parent) is None) == same(path.read_bytes(), whole)


def same(one, other):
    """Whether two texts are the same JSON."""
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


@pytest.mark.parametrize("code", sorted(BROKEN))
def test_a_disk_that_fails_while_a_checkpoint_is_written_asks_for_another_start(tmp_path, code):
    save(tmp_path, 1)
    with pytest.raises(StorageFailed, match="step_000002 cannot be read or written") as caught, write_checkpoint(tmp_path, 2, keep=1):
        raise OSError(code, "as a trainer's rank says it")
    assert exit_status(caught.value) == REQUEUE
    assert names(tmp_path) == ["step_000001"]


def test_a_disk_that_becomes_read_only_asks_for_another_start_and_is_read_all_the_same(disk, make_read_only):
    save(disk, 1)
    with pytest.raises(StorageFailed, match=r"step_000002.* \(Read-only file system\)"), write_checkpoint(disk, 2, keep=1) as folder:
        make_read_only()
        (folder / "a.bin").write_bytes(b"abc")
    assert newest_checkpoint(disk).step == 1


def test_what_a_killed_process_left_makes_room_before_the_next_is_written(tmp_path):
    (tmp_path / "step_000007.partial").mkdir()
    with write_checkpoint(tmp_path, 9, keep=1) as folder:
        assert names(tmp_path) == ["step_000009.partial"]
        (folder / "state.json").write_text("{}")


def test_a_step_can_be_written_again_and_the_other_is_kept(tmp_path, caplog):
    save(tmp_path, 3, content=b"first")
    with caplog.at_level(logging.WARNING):
        save(tmp_path, 3, content=b"second")
    assert (tmp_path / "step_000003" / "policy" / "shard.bin").read_bytes() == b"second" * 3
    assert names(tmp_path) == ["step_000003", "step_000003.set_aside"]
    assert "step_000003 is there already and is now" in caplog.text


def test_steps_are_ordered_by_number_and_other_folders_ignored(tmp_path):
    for step in (999_999, 1_000_000):
        save(tmp_path, step, content=b"")
    (tmp_path / "step_best").mkdir()
    assert newest_checkpoint(tmp_path).step == 1_000_000


def test_no_folder_has_no_checkpoint(tmp_path):
    assert newest_checkpoint(tmp_path / "checkpoints") is None
