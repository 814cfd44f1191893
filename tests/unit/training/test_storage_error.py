"""What a rank says when torch could not write its part of a checkpoint."""

import shutil
from types import SimpleNamespace

from torch import nn
from torch.distributed.checkpoint.api import CheckpointException

from lmm_r1_mega.errors import INTERNAL, REQUEUE, exit_status
from lmm_r1_mega.training.checkpoint import _storage_error

FAILURE = CheckpointException("write", {0: (RuntimeError("unexpected pos 64 vs 0"), [])})
"""As torch reports it, whatever the system said."""


def told(folder, *, weights=8):
    return _storage_error(folder, SimpleNamespace(module=nn.Linear(weights, 1)), FAILURE)


def test_a_read_only_disk_is_named(disk, make_read_only):
    make_read_only()
    error = told(disk)
    assert exit_status(error) == REQUEUE
    assert f"{disk} cannot be read or written (Read-only file system)" in str(error)


def test_a_disk_without_room_is_named(disk):
    error = told(disk, weights=shutil.disk_usage(disk).free // 4 + 1)
    assert exit_status(error) == REQUEUE and str(error).startswith(f"no room for a checkpoint in {disk}")


def test_what_the_storage_does_not_explain_is_ours(tmp_path):
    error = told(tmp_path)
    assert exit_status(error) == INTERNAL and "unexpected pos 64 vs 0" in str(error)
    assert list(tmp_path.iterdir()) == []
