"""A complete update is every tensor of the model once, in its shape."""

import pytest

from lmm_r1_mega.rollout.transfer.bucket import TensorEntry
from lmm_r1_mega.rollout.transfer.client import MissingTensorError, TensorShapeError, UnknownTensorError, init_info_of_engine
from lmm_r1_mega.rollout.transfer.received import ReceivedTensors


def entry(name: str, *shape: int) -> TensorEntry:
    return TensorEntry(name, "float32", shape, 0, None)


@pytest.fixture
def ledger() -> ReceivedTensors:
    return ReceivedTensors({"a": (2, 3), "b": ()})


def test_all_tensors_once_in_any_order_are_complete(ledger):
    ledger.enter(entry("b"))
    with pytest.raises(MissingTensorError):
        ledger.close()
    ledger.enter(entry("a", 2, 3))
    assert ledger.close() is None


def test_missing_tensors_are_named(ledger):
    ledger.enter(entry("b"))
    with pytest.raises(MissingTensorError, match=r"1 of 2 .*\(a\)"):
        ledger.close()


def test_a_tensor_that_the_model_lacks_is_named(ledger):
    with pytest.raises(UnknownTensorError, match="tensor c "):
        ledger.enter(entry("c"))


def test_a_tensor_that_comes_twice_is_named(ledger):
    ledger.enter(entry("b"))
    with pytest.raises(UnknownTensorError, match="b came twice"):
        ledger.enter(entry("b"))


def test_the_same_numbers_in_another_shape_are_refused(ledger):
    with pytest.raises(TensorShapeError, match=r"\[3, 2\].*\[2, 3\]"):
        ledger.enter(entry("a", 3, 2))


def test_each_engines_workers_get_nccl_ranks_of_their_own():
    ranks = [init_info_of_engine({"rank_offset": 1, "packed": True}, index=i, workers=4)["rank_offset"] for i in range(3)]
    assert ranks == [1, 5, 9]
    assert init_info_of_engine({"packed": True}, index=2, workers=4) == {"packed": True}
