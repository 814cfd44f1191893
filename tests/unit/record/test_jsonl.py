"""JSON Lines files against crashes and full disks."""

import errno
import json
import os
import subprocess
import sys
import textwrap

import pytest

from lmm_r1_mega.errors import BAD_DATA, REQUEUE, BadData, DiskFull, StorageFailed, exit_status, naming_storage_errors
from lmm_r1_mega.record.jsonl import append_rows, keep_rows, read_rows, write_whole


def test_rows_come_back_as_they_were(tmp_path):
    rows = [{"step": 1, "reward": 0.1 + 0.2, "text": "é\n\u2028"}, {"step": 2, "reward": float("inf")}]
    append_rows(tmp_path / "m.jsonl", rows[:1])
    append_rows(tmp_path / "m.jsonl", rows[1:])
    assert read_rows(tmp_path / "m.jsonl") == rows


def test_a_missing_file_has_no_rows(tmp_path):
    keep_rows(tmp_path / "m.jsonl", until_step=3)
    assert read_rows(tmp_path / "m.jsonl") == []


def test_a_line_that_a_killed_process_left_unfinished_is_no_row(tmp_path):
    path = tmp_path / "m.jsonl"
    append_rows(path, [{"step": 1}, {"step": 2}])
    with path.open("a") as file:
        file.write('{"step": 3, "rew')
    assert read_rows(path) == [{"step": 1}, {"step": 2}]
    keep_rows(path, until_step=3)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_rows_of_later_steps_are_dropped_and_the_others_keep_their_bytes(tmp_path):
    path = tmp_path / "m.jsonl"
    append_rows(path, [{"step": step, "loss": step / 3} for step in (1, 2, 3, 4)])
    before = path.read_bytes().splitlines(keepends=True)
    keep_rows(path, until_step=2)
    assert path.read_bytes() == b"".join(before[:2])
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "summary.json"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


FILL = """
import resource, sys
from pathlib import Path
from lmm_r1_mega.errors import DiskFull
from lmm_r1_mega.record.jsonl import append_rows, write_whole
rows, whole = Path(sys.argv[1]) / "rows.jsonl", Path(sys.argv[1]) / "whole"
append_rows(rows, [{"step": 1, "text": "a" * 600}])
write_whole(whole, b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for write in (lambda: append_rows(rows, [{"step": 2, "text": "b" * 600}]), lambda: write_whole(whole, b"n" * 2000)):
    try:
        write()
    except DiskFull as error:
        print(error)
"""


def test_without_room_the_error_has_a_name_and_what_was_written_stays(tmp_path):
    done = subprocess.run([sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True)
    assert [line.split(" (")[0] for line in done.stdout.splitlines()] == [
        f"no room to write {tmp_path / 'rows.jsonl'}",
        f"no room to write {tmp_path / 'whole'}",
    ]
    assert read_rows(tmp_path / "rows.jsonl") == [{"step": 1, "text": "a" * 600}]
    assert (tmp_path / "whole").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.jsonl", "whole"]


def test_a_device_without_room_is_named_too(tmp_path):
    path = tmp_path / "m.jsonl"
    path.symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="make room, then `lmm-r1-mega resume`") as caught:
        append_rows(path, [{"step": 1}])
    assert caught.value.__cause__.errno == errno.ENOSPC


def test_other_errors_of_the_system_keep_their_own_name(tmp_path):
    with pytest.raises(IsADirectoryError):
        append_rows(tmp_path, [{"step": 1}])
    with pytest.raises(PermissionError), naming_storage_errors(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "no")


@pytest.mark.parametrize("code", [errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fails_asks_for_another_start_and_is_named(tmp_path, code):
    with pytest.raises(StorageFailed, match="nothing written before is lost") as caught, naming_storage_errors(tmp_path / "x.bin"):
        raise OSError(code, os.strerror(code))
    assert str(tmp_path / "x.bin") in str(caught.value) and os.strerror(code) in str(caught.value)
    assert exit_status(caught.value) == REQUEUE
    assert exit_status(OSError(code, os.strerror(code), "elsewhere")) == REQUEUE, "where nobody has named it, too"
    assert isinstance(caught.value, DiskFull) == (code in {errno.ENOSPC, errno.EDQUOT})


def test_a_read_only_file_system_is_named(disk, make_read_only):
    file = disk / "m.jsonl"
    append_rows(file, [{"step": 1}])
    make_read_only()
    for write in (lambda: append_rows(file, [{"step": 2}]), lambda: write_whole(file, b""), lambda: keep_rows(file, until_step=0)):
        with pytest.raises(StorageFailed, match=r"m\.jsonl cannot be read or written \(Read-only file system\)") as caught:
            write()
        assert exit_status(caught.value) == REQUEUE
    assert read_rows(file) == [{"step": 1}]


DAMAGED = [b"\n", b"{\n", b"[1]\n", b'{"reward": 1}\n', b'{"step": "2"}\n', b"\0" * 20 + b"\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n"]


@pytest.mark.parametrize("line", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_line_is_named_with_the_way_out_and_nothing_is_dropped(tmp_path, line):
    path = tmp_path / "rollouts.jsonl"
    content = b'{"step": 1}\n' + line + b'{"step": 2}\n'
    path.write_bytes(content)
    for use in (lambda: read_rows(path), lambda: keep_rows(path, until_step=1)):
        with pytest.raises(
            BadData, match=r"rollouts.jsonl:2 .*: delete the line \(`sed -i 2d .*rollouts.jsonl`\), or bring the file"
        ) as caught:
            use()
        assert exit_status(caught.value) == BAD_DATA
    assert path.read_bytes() == content
    subprocess.run(["sed", "-i", "2d", str(path)], check=True)
    assert read_rows(path) == [{"step": 1}, {"step": 2}]


def test_rows_survive_a_kill_between_them(tmp_path):
    script = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from lmm_r1_mega.record.jsonl import append_rows
        for step in range(1, 6):
            append_rows(Path({str(tmp_path / "m.jsonl")!r}), [{{"step": step}}])
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == -9
    assert [json.loads(line)["step"] for line in (tmp_path / "m.jsonl").read_text().splitlines()] == [1, 2, 3, 4, 5]
