"""Many short tensors as one, and back."""

import pickle

import torch

from lmm_r1_mega.cluster.columns import Column


def test_cut_is_the_inverse_of_of():
    tensors = [torch.tensor([7, 8]), torch.tensor([], dtype=torch.int64), torch.tensor([9])]
    column = Column.of(tensors)
    assert (column.values.tolist(), column.lengths.tolist()) == ([7, 8, 9], [2, 0, 1])
    back = column.cut()
    assert [one.tolist() for one in back] == [[7, 8], [], [9]] and {one.dtype for one in back} == {torch.int64}
    assert Column.of([]).cut() == []


def test_a_column_of_views_takes_their_own_bytes_alone():
    """Of a [1000, 1000] tensor each view carries 4 MB when it is pickled by itself."""
    views = [row[:2] for row in torch.rand(1000, 1000)]
    assert len(pickle.dumps(views[:3])) > 4_000_000
    assert len(pickle.dumps(Column.of(views[:3]))) < 1000
    assert len(pickle.dumps(Column.of(views))) < 1000 * (2 * 4 + 8) + 1000


def test_arrays_that_came_without_copying_are_read_as_they_are():
    buffers = []
    sent = pickle.dumps(Column.of([torch.tensor([1.0, 2.0])]), protocol=5, buffer_callback=buffers.append)
    arrived = pickle.loads(sent, buffers=[bytes(buffer) for buffer in buffers])
    assert not arrived.values.flags.writeable
    [tensor] = arrived.cut()
    assert tensor.tolist() == [1, 2] and tensor.data_ptr() == arrived.values.ctypes.data
