"""The shared-memory sender against an engine that only keeps what it is sent."""

import threading
from pathlib import Path

import pytest
import torch

from lmm_r1_mega.rollout.transfer.bucket import Attached, Bucket
from lmm_r1_mega.rollout.transfer.client import SyncDeadlineError
from lmm_r1_mega.rollout.transfer.sender import Follower, SharedMemorySender


class Keeper:
    """Copies every bucket out of shared memory; may refuse or hang at the bucket with a given number."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self.log: list[str] = []
        self.refuse_at = self.hang_at = -1
        self.release = threading.Event()

    def init_weight_transfer_engine(self, init_info):
        self.log = ["init"]

    def start_weight_update(self):
        self.log.append("start")

    def update_weights(self, update_info):
        bucket = Bucket.from_dict(update_info)
        number = self.log.count("bucket")
        if number == self.refuse_at:
            raise RuntimeError("refused")
        if number == self.hang_at:
            self.release.wait(30)
        attached = Attached(bucket)
        self.tensors.update({entry.name: attached.tensor(entry).clone() for entry in bucket.entries})
        self.log.append("bucket")

    def finish_weight_update(self, weight_version):
        self.log.append(f"finish {weight_version}")


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {f"t{i}": torch.randn(size, generator=generator) for i, size in enumerate([10, 200, 30, 1000, 5, 60, 70])}


@pytest.fixture
def keeper() -> Keeper:
    keeper = Keeper()
    yield keeper
    keeper.release.set()


def assert_equal(found, weights):
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


@pytest.mark.parametrize(("bucket_bytes", "num_buckets"), [(2**20, {1}), (1024, {2, 3}), (8, {2, 3, 4, 5, 6, 7})])
def test_every_tensor_arrives_whatever_the_bucket(keeper, weights, bucket_bytes, num_buckets):
    sender = SharedMemorySender(weights.items, keeper, bucket_bytes=bucket_bytes, deadline_s=60)
    for version in (1, 2):
        sender.send(version)
        assert_equal(keeper.tensors, weights)
        assert [keeper.log[0], keeper.log[1], keeper.log[-1]] == ["init", "start", f"finish {version}"]
        assert keeper.log.count("bucket") in num_buckets
        for tensor in weights.values():
            tensor += 1
    sender.close()


def test_memory_of_a_large_tensor_is_given_back_after_the_update(keeper, weights):
    def shared() -> int:
        lines = Path("/proc/self/maps").read_text().splitlines()
        ranges = [line.split()[0].split("-") for line in lines if "memfd:lmm_r1_mega_weights" in line]
        return sum(int(end, 16) - int(start, 16) for start, end in ranges)

    bucket_bytes, before = 2**16, shared()
    large = torch.randn(2**20)
    sender = SharedMemorySender(
        lambda: iter({**weights, "large": large, "last": large[:7]}.items()), keeper, bucket_bytes=bucket_bytes, deadline_s=60
    )
    for version in (1, 2):
        sender.send(version)
        assert torch.equal(keeper.tensors["large"], large) and len(keeper.tensors) == len(weights) + 2
        assert shared() - before == 2 * bucket_bytes
    sender.close()


def test_an_engine_that_refuses_stops_the_update_and_the_export_is_still_walked_to_its_end(keeper, weights):
    walked = []

    def export():
        for item in weights.items():
            walked.append(item[0])
            yield item

    sender = SharedMemorySender(export, keeper, bucket_bytes=8, deadline_s=60)
    keeper.refuse_at = 1
    with pytest.raises(RuntimeError, match="refused"):
        sender.send(1)
    assert walked == list(weights)
    assert "finish 1" not in keeper.log
    keeper.refuse_at = -1
    sender.send(2)
    assert_equal(keeper.tensors, weights)
    sender.close()


def test_an_engine_that_hangs_meets_the_deadline_and_cannot_harm_the_next_update(keeper, weights):
    sender = SharedMemorySender(weights.items, keeper, bucket_bytes=8, deadline_s=0.2)
    keeper.hang_at = 2
    with pytest.raises(SyncDeadlineError, match="update_weights"):
        sender.send(1)
    keeper.hang_at = -1
    sender.send(2)
    assert_equal(keeper.tensors, weights)
    sender.close()


def test_an_error_of_the_export_itself_comes_through(keeper):
    def export():
        yield "a", torch.zeros(3)
        raise OSError("disk")

    sender = SharedMemorySender(export, keeper, bucket_bytes=8, deadline_s=60)
    with pytest.raises(OSError, match="disk"):
        sender.send(1)
    sender.close()


def test_other_ranks_walk_the_export_and_send_nothing():
    walked = []
    Follower(lambda: (walked.append(i) for i in range(3))).send(1)
    assert walked == [0, 1, 2]
