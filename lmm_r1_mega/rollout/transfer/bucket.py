"""Tensors laid end to end in shared memory: written by the trainer, read where they lie by the engines.

The memory has no name in the file system (memfd); engines on the same host open it through /proc. It is gone when the last
process that maps it is, so nothing is left behind whichever side dies, and it does not count against the size of /dev/shm.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
import xxhash
from torch import Tensor

from lmm_r1_mega.rollout.transfer.client import CorruptTensorError, WeightSyncError

ALIGNMENT = 64
CHUNK_BYTES = 2**18  # stays in a core's cache between the digest and the copy


@dataclass(frozen=True)
class TensorEntry:
    """Where one tensor lies in a segment."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    digest: int | None
    """xxh3 of the bytes, taken from the trainer's tensor; None where digests are off."""


@dataclass(frozen=True)
class Bucket:
    """One control call: a segment and the tensors in it. Travels as a plain dictionary, as vLLM wants."""

    path: str
    inode: int
    """Tells this segment from another that a later process may have put behind the same path."""
    size: int
    entries: tuple[TensorEntry, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Bucket:
        entries = tuple(TensorEntry(**{**entry, "shape": tuple(entry["shape"])}) for entry in values["entries"])
        return cls(path=values["path"], inode=values["inode"], size=values["size"], entries=entries)


class Segment:
    """Shared memory of the trainer that one bucket at a time is written into."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._descriptor = os.memfd_create("lmm_r1_mega_weights")
        os.ftruncate(self._descriptor, size)
        self._memory = torch.frombuffer(mmap.mmap(self._descriptor, size), dtype=torch.uint8)
        self._entries: list[TensorEntry] = []
        self._used = 0

    @property
    def is_empty(self) -> bool:
        return not self._entries

    def has_room(self, tensor: Tensor) -> bool:
        return self._used + tensor.nbytes <= self.size

    def put(self, name: str, tensor: Tensor, *, with_digest: bool) -> None:
        """Copy a tensor behind those already here; the caller has seen that there is room."""
        source = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
        target = self._memory[self._used : self._used + tensor.nbytes]
        digest = _copy(source, target, with_digest=with_digest)
        dtype = str(tensor.dtype).removeprefix("torch.")
        self._entries.append(TensorEntry(name, dtype, tuple(tensor.shape), self._used, digest))
        self._used += -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT

    def take(self) -> Bucket:
        """The bucket that was written; the segment is empty again once the engines have loaded it."""
        bucket = Bucket(
            path=f"/proc/{os.getpid()}/fd/{self._descriptor}",
            inode=os.fstat(self._descriptor).st_ino,
            size=self.size,
            entries=tuple(self._entries),
        )
        self._entries, self._used = [], 0
        return bucket

    def close(self) -> None:
        """The memory itself is freed with the last mapping of it."""
        os.close(self._descriptor)


class Attached:
    """A trainer's segment mapped into this process."""

    def __init__(self, bucket: Bucket) -> None:
        try:
            descriptor = os.open(bucket.path, os.O_RDWR)
        except OSError as error:
            raise WeightSyncError(
                f"the trainer's shared memory {bucket.path} cannot be opened ({error.strerror}): the trainer has ended, "
                f"or it runs on another host or as another user"
            ) from error
        try:
            if os.fstat(descriptor).st_ino != bucket.inode:
                raise WeightSyncError(f"{bucket.path} is not the memory that the trainer announced: it runs on another host, or has ended")
            self._memory = torch.frombuffer(mmap.mmap(descriptor, bucket.size), dtype=torch.uint8)
        finally:
            os.close(descriptor)

    def tensor(self, entry: TensorEntry) -> Tensor:
        """The tensor where it lies, its digest checked; valid until the trainer writes the next bucket there."""
        dtype = _DTYPES[entry.dtype]
        size = dtype.itemsize * torch.Size(entry.shape).numel()
        flat = self._memory[entry.offset : entry.offset + size]
        if entry.digest is not None and (found := xxhash.xxh3_64_intdigest(flat.numpy())) != entry.digest:
            raise CorruptTensorError(
                f"tensor {entry.name} arrived with digest {found:016x}, sent with {entry.digest:016x}: "
                f"send the weights again; if it happens again, test the machine's memory"
            )
        return flat.view(dtype).view(entry.shape)


_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (torch.float32, torch.bfloat16, torch.float16)}


def _copy(source: Tensor, target: Tensor, *, with_digest: bool) -> int | None:
    if not with_digest:
        target.copy_(source)
        return None
    digest = xxhash.xxh3_64()
    for start in range(0, len(source), CHUNK_BYTES):
        chunk = source[start : start + CHUNK_BYTES]
        digest.update(chunk.numpy())
        target[start : start + CHUNK_BYTES].copy_(chunk)
    return digest.intdigest()
