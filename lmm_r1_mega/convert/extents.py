"""Tensors as ranges of bytes in files: conversion copies the ranges, and holds no tensor."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import FileIO
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from lmm_r1_mega.errors import BadData

_BUFFER_BYTES = 2**20
"""It stays in the processor's cache. sendfile, which needs none, is slower where ranges begin at different places of a page."""


@dataclass(frozen=True)
class Extent:
    """`num_bytes` of a tensor, from its byte `first` on, which lie in the file `path` from `offset` on."""

    first: int
    num_bytes: int
    path: Path
    offset: int


def cut(extents: Iterable[Extent], *, first: int, num_bytes: int, at: int = 0) -> Iterator[Extent]:
    """The bytes of a tensor from `first` on, as extents of another tensor that has them from its byte `at` on.

    Example: bytes 0 to 9 of a file, first 4, num_bytes 3, at 100 -> bytes 100 to 102, which lie at 4 in that file
    """
    for extent in extents:
        start, end = max(extent.first, first), min(extent.first + extent.num_bytes, first + num_bytes)
        if start < end:
            yield Extent(at + start - first, end - start, extent.path, extent.offset + start - extent.first)


def copy_extents(extents: Iterable[Extent], target: FileIO, *, offset: int) -> None:
    """Copy bytes of a tensor into `target`, where the tensor begins at `offset`; `BadData` where a file is too short."""
    buffer = memoryview(bytearray(_BUFFER_BYTES))

    def copy(source: int, extent: Extent) -> int:
        count = os.preadv(source, [buffer[: extent.num_bytes]], extent.offset)
        return os.pwrite(target.fileno(), buffer[:count], offset + extent.first)

    _move(extents, copy)


def read_extents(extents: Iterable[Extent], target: Tensor) -> None:
    """Copy bytes of a tensor into the contiguous tensor `target`; `BadData` where a file is too short."""
    memory = memoryview(target.reshape(-1).view(torch.uint8).numpy())

    def read(source: int, extent: Extent) -> int:
        return os.preadv(source, [memory[extent.first : extent.first + extent.num_bytes]], extent.offset)

    _move(extents, read)


def _move(extents: Iterable[Extent], move: Callable[[int, Extent], int]) -> None:
    """Calls `move` with the open file of an extent until nothing of it is left; it returns how many bytes it has moved."""
    for path, of_file in groupby(extents, key=lambda extent: extent.path):
        with open(path, "rb", buffering=0) as source:
            for extent in of_file:
                _move_one(source, extent, move)


def _move_one(source: FileIO, extent: Extent, move: Callable[[int, Extent], int]) -> None:
    rest = extent
    while rest.num_bytes:
        moved = move(source.fileno(), rest)
        if not moved:
            raise BadData(f"{rest.path} ends inside a tensor: it was not written or copied completely, copy it again")
        rest = Extent(rest.first + moved, rest.num_bytes - moved, rest.path, rest.offset + moved)
