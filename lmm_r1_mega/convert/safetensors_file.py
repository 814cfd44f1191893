"""Safetensors files tensor by tensor: read without mapping the file, and written in any order without holding the rest.

Format: 8 bytes of header length (little endian), a JSON header with type, shape and byte range of each tensor, then the bytes
(https://huggingface.co/docs/safetensors). The safetensors library maps whole files and writes only complete dictionaries.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from lmm_r1_mega.convert.extents import Extent, copy_extents
from lmm_r1_mega.errors import BadData

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_MAX_HEADER_BYTES = 100 * 2**20


@dataclass(frozen=True)
class TensorSpec:
    """Type and shape of a stored tensor."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Size of the tensor's data."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def row_bytes(self) -> int:
        """Size of one entry along the first dimension."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


class SafetensorsReader(AbstractContextManager["SafetensorsReader"]):
    """One file, open for reading; `specs` lists its tensors. `BadData` where it is damaged or not complete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  (closed by __exit__)
        size, num_bytes = int.from_bytes(self._file.read(8), "little"), os.path.getsize(path)
        if not 2 <= size <= min(_MAX_HEADER_BYTES, num_bytes):
            raise BadData(f"{path} is not a safetensors file: its header would take {size} bytes of {num_bytes}: copy it again")
        self.specs = _parsed(self._file.read(size), path)
        ends = list(accumulate((spec.num_bytes for spec in self.specs.values()), initial=8 + size))
        if ends[-1] != num_bytes:
            raise BadData(f"{path} has {num_bytes} bytes instead of {ends[-1]}: it was not written or copied completely, copy it again")
        self._offsets = dict(zip(self.specs, ends, strict=False))

    def tensor(self, name: str) -> Tensor:
        """A copy of the tensor `name` in memory."""
        spec = self.specs[name]
        tensor = torch.empty(spec.shape, dtype=spec.dtype)
        target = memoryview(_bytes_of(tensor).numpy())
        done = 0
        while done < len(target):
            count = os.preadv(self._file.fileno(), [target[done:]], self._offsets[name] + done)
            if not count:
                raise BadData(f"{self._file.name} ends inside {name}: it was not written or copied completely")
            done += count
        return tensor

    def extent(self, name: str) -> Extent:
        """Where the tensor `name` lies."""
        return Extent(0, self.specs[name].num_bytes, self._path, self._offsets[name])

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


class SafetensorsWriter(AbstractContextManager["SafetensorsWriter"]):
    """One file with room for the tensors of `specs`, which are then written in any order."""

    def __init__(self, path: Path, specs: Mapping[str, TensorSpec]) -> None:
        self.specs = dict(specs)
        header: dict[str, dict[str, Any]] = {"__metadata__": {"format": "pt"}}
        starts, offset = {}, 0
        for name, spec in self.specs.items():
            starts[name] = offset
            offset += spec.num_bytes
            header[name] = {"dtype": _CODES[spec.dtype], "shape": list(spec.shape), "data_offsets": [starts[name], offset]}
        encoded = json.dumps(header, separators=(",", ":")).encode()
        encoded += b" " * (-len(encoded) % 8)  # data are aligned to 8 bytes
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115  (closed by __exit__)
        self._file.write(len(encoded).to_bytes(8, "little") + encoded)
        self._starts = {name: 8 + len(encoded) + start for name, start in starts.items()}

    def write(self, name: str, tensor: Tensor) -> None:
        """Put `tensor` at its place; `ValueError` where it is not of the announced type and shape."""
        spec = self.specs[name]
        if (tensor.dtype, tuple(tensor.shape)) != (spec.dtype, spec.shape):
            found = f"{tensor.dtype} {list(tensor.shape)}"
            raise ValueError(f"{name} was announced as {spec.dtype} {list(spec.shape)}, but is {found}")
        source = memoryview(_bytes_of(tensor.detach().cpu().contiguous()).numpy())
        done = 0
        while done < len(source):
            done += os.pwrite(self._file.fileno(), source[done:], self._starts[name] + done)

    def copy(self, name: str, extents: Iterable[Extent]) -> None:
        """Put a tensor of the announced type and shape, which lies in other files, at its place."""
        copy_extents(extents, self._file, offset=self._starts[name])

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


def _parsed(header: bytes, path: Path) -> dict[str, TensorSpec]:
    """The tensors of a header in the order in which they lie: each begins where the one before ends, as the format has it."""
    try:
        entries = json.loads(header)
        ranges = sorted((*_range(entry), name) for name, entry in entries.items() if name != "__metadata__")
        specs = {name: _spec(entries[name]) for _, _, name in ranges}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        problem = str(error) or type(error).__name__
        raise BadData(f"{path} is not a safetensors file: its header cannot be read ({problem}): copy it again") from None
    end = 0
    for start, stop, name in ranges:
        if (start, stop) != (end, end + specs[name].num_bytes):
            raise BadData(
                f"{path}: {name} is said to lie at bytes {start} to {stop}, and its place is {end} to {end + specs[name].num_bytes}: the "
                f"header is damaged, copy the file again"
            )
        end = stop
    return specs


def _range(entry: Mapping[str, Any]) -> tuple[int, int]:
    start, stop = entry["data_offsets"]
    return _size(start), _size(stop)


def _spec(entry: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(_DTYPES[entry["dtype"]], tuple(_size(size) for size in entry["shape"]))


def _size(number: object) -> int:
    if type(number) is not int or number < 0:
        raise ValueError(f"{number!r} is no size")
    return number


def _bytes_of(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).view(torch.uint8)
