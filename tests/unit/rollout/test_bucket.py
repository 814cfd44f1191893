"""Tensors through shared memory, and what happens to damaged ones."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import xxhash

from lmm_r1_mega.rollout.transfer.bucket import Attached, Bucket, Segment
from lmm_r1_mega.rollout.transfer.client import CorruptTensorError, WeightSyncError

TENSORS = {
    "matrix": torch.arange(35, dtype=torch.float32).view(5, 7),
    "transposed": torch.arange(12, dtype=torch.float32).view(3, 4).t(),
    "half": torch.linspace(-1, 1, 9, dtype=torch.bfloat16),
    "scalar": torch.tensor(3.5),
    "large": torch.randn(300, 1000, generator=torch.Generator().manual_seed(0)),
}


@pytest.fixture
def segment():
    segment = Segment(2**21)
    yield segment
    segment.close()


@pytest.fixture
def bucket(segment) -> Bucket:
    for name, tensor in TENSORS.items():
        segment.put(name, tensor, with_digest=True)
    return Bucket.from_dict(segment.take().to_dict())


def test_tensors_arrive_bitwise_with_dtype_and_shape(bucket):
    attached = Attached(bucket)
    arrived = {entry.name: attached.tensor(entry) for entry in bucket.entries}
    assert arrived.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert arrived[name].dtype == tensor.dtype
        assert torch.equal(arrived[name], tensor)


def test_digest_is_xxh3_of_the_senders_bytes(bucket):
    (entry,) = (entry for entry in bucket.entries if entry.name == "large")
    assert entry.digest == xxhash.xxh3_64_intdigest(TENSORS["large"].numpy().tobytes())


def test_one_flipped_bit_is_found_and_named(bucket):
    (entry,) = (entry for entry in bucket.entries if entry.name == "large")
    descriptor = os.open(bucket.path, os.O_RDWR)
    byte = os.pread(descriptor, 1, entry.offset + 777)
    os.pwrite(descriptor, bytes([byte[0] ^ 1]), entry.offset + 777)
    os.close(descriptor)
    with pytest.raises(CorruptTensorError, match="large"):
        Attached(bucket).tensor(entry)


def test_room_counts_what_is_there_and_comes_back_when_the_bucket_is_taken():
    segment = Segment(100)
    block = torch.zeros(16)  # 64 bytes
    assert segment.has_room(block)
    segment.put("a", block, with_digest=False)
    assert not segment.has_room(block)
    assert segment.take().entries[0].digest is None
    assert segment.is_empty
    assert segment.has_room(block)
    segment.close()


def test_another_memory_behind_the_same_path_is_refused(bucket):
    with pytest.raises(WeightSyncError, match="not the memory"):
        Attached(replace(bucket, inode=bucket.inode + 1))


def test_memory_of_a_trainer_that_has_ended_is_refused_and_leaves_nothing():
    trainer = """
import os
from lmm_r1_mega.rollout.transfer.bucket import Segment
segment = Segment(100)
print(segment.take().path, flush=True)
os.kill(os.getpid(), 9)
"""
    path = subprocess.run([sys.executable, "-c", trainer], capture_output=True, text=True, timeout=60).stdout.strip()
    with pytest.raises(WeightSyncError, match="has ended"):
        Attached(Bucket(path=path, inode=0, size=100, entries=()))
    assert not os.path.lexists(path)
