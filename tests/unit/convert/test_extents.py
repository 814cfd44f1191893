"""Conversion by copies of byte ranges against the rules on tensors, and ranges by hand."""

from __future__ import annotations

from io import FileIO

import pytest
import torch

from lmm_r1_mega.convert.extents import Extent, copy_extents, cut, read_extents
from lmm_r1_mega.convert.row_runs import RowRun, row_runs
from lmm_r1_mega.convert.rules import QKV, Copy, GateUp, Vocab
from lmm_r1_mega.errors import BadData


def test_runs_of_rows_by_hand():
    assert row_runs(QKV(num_heads=2, num_kv_heads=2, head_dim=1), [2, 2, 2]) == [
        RowRun(part=part, part_row=group, whole_row=3 * group + part, num_rows=1) for group in range(2) for part in range(3)
    ]
    assert row_runs(GateUp(), [5, 5]) == [RowRun(0, 0, 0, 5), RowRun(1, 0, 5, 5)]
    assert row_runs(Vocab(size=3, padded_size=8), [3]) == [RowRun(0, 0, 0, 3)]


@pytest.mark.parametrize(
    "rule, rows",
    [(Copy(), [6]), (GateUp(), [4, 4]), (Vocab(5, 8), [5]), (QKV(4, 2, 3), [12, 6, 6]), (QKV(4, 1, 2), [8, 2, 2])],
    ids=["copy", "gate-up", "vocab", "qkv", "qkv-one-group"],
)
@pytest.mark.parametrize("rest", [(), (3,), (2, 3)], ids=["vector", "matrix", "three-dims"])
def test_moving_the_runs_is_what_the_rule_does(rule, rows, rest):
    parts = [torch.randn(number, *rest) for number in rows]
    whole = rule.to_megatron(parts)
    moved = torch.zeros_like(whole)
    for run in row_runs(rule, rows):
        moved[run.whole_row : run.whole_row + run.num_rows] = parts[run.part][run.part_row : run.part_row + run.num_rows]
    assert torch.equal(moved, whole)


def test_ranges_that_are_cut_copied_and_read(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"..abcd.")
    other.write_bytes(b"efgh")
    tensor = [Extent(0, 4, one, 2), Extent(4, 4, other, 0)]
    part = list(cut(tensor, first=2, num_bytes=4, at=1))
    assert part == [Extent(1, 2, one, 4), Extent(3, 2, other, 0)]

    (tmp_path / "out").write_bytes(b"----------")
    with FileIO(tmp_path / "out", "r+") as out:
        copy_extents(part, out, offset=3)
    assert (tmp_path / "out").read_bytes() == b"----cdef--"
    memory = torch.zeros(5, dtype=torch.uint8)
    read_extents(part, memory)
    assert bytes(memory.tolist()) == b"\0cdef"


def test_a_file_that_became_too_short_is_bad_data(tmp_path):
    (tmp_path / "short").write_bytes(b"abc")
    extents = [Extent(0, 5, tmp_path / "short", 0)]
    with pytest.raises(BadData, match="short ends inside a tensor"):
        read_extents(extents, torch.zeros(5, dtype=torch.uint8))
    with FileIO(tmp_path / "out", "w") as out, pytest.raises(BadData, match="short ends inside a tensor"):
        copy_extents(extents, out, offset=0)
