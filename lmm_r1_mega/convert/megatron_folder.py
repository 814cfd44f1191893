"""Megatron distributed checkpoints (format torch_dist of megatron-core 0.16) tensor by tensor, in one process.

A checkpoint stores every parameter whole, whatever layout wrote it; decoder layers are stacked along a first dimension. Its
files are those of torch.distributed.checkpoint: what torch.save writes of each part of a parameter, one after the other. Here
torch writes them with holes for the data, which are filled by copies from the source's files, and says where the data lie.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import FileIO
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed import checkpoint
from torch.distributed.checkpoint import FileSystemWriter, SavePlan, SavePlanner
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, Metadata, MetadataIndex, TensorProperties, TensorStorageMetadata
from torch.distributed.checkpoint.planner import ReadItem, TensorWriteData, WriteItem, WriteItemType
from torch.distributed.checkpoint.planner_helpers import create_read_items_for_chunk_list
from torch.distributed.checkpoint.storage import WriteResult
from torch.distributed.checkpoint.utils import _create_file_view
from torch.futures import Future

from lmm_r1_mega.convert.extents import Extent, copy_extents, cut, read_extents
from lmm_r1_mega.convert.hf_folder import partial_folder
from lmm_r1_mega.convert.safetensors_file import TensorSpec
from lmm_r1_mega.errors import BadData

SIDE_FILES = "hf_files"
"""Folder inside a checkpoint with config, tokenizer, processor and chat template of the Hugging Face source."""
_FORMAT = {"sharded_backend": "torch_dist", "sharded_backend_version": 1, "common_backend": "torch", "common_backend_version": 1}
_LAYER = re.compile(r"decoder\.layers\.(\d+)\.(.*)")
_DATA_FILE = "__0_0.distcp"
_PIECE_BYTES = 32 * 2**20
"""Parameters are stored in pieces of about this size, because who loads a few rows reads whole pieces."""
_LINEAR_LAYERS = ("self_attention.linear_qkv", "self_attention.linear_proj", "mlp.linear_fc1", "mlp.linear_fc2")


class MegatronReader:
    """The parameters of a checkpoint, by their names in the whole model (`decoder.layers.3.mlp.linear_fc2.weight`)."""

    def __init__(self, folder: Path) -> None:
        if not (Path(folder) / "metadata.json").is_file():
            raise ValueError(f"{folder} is not a complete Megatron checkpoint: give the folder of one, with its metadata.json")
        self._metadata = _read_metadata(Path(folder) / ".metadata")
        self._folder = Path(folder)

    def spec(self, name: str) -> TensorSpec:
        """Type and shape of the parameter `name`; `ValueError` where the checkpoint has none."""
        key, layer = _stored_name(name)
        stored = self._metadata.state_dict_metadata.get(key)
        if not isinstance(stored, TensorStorageMetadata):
            raise ValueError(f"the Megatron checkpoint has no {key}: it is of another model")
        return TensorSpec(stored.properties.dtype, tuple(stored.size[1:] if layer is not None else stored.size))

    def tensor(self, name: str) -> Tensor:
        """The whole parameter `name`, put together from the parts that each rank stored."""
        spec = self.spec(name)
        whole = torch.empty(spec.shape, dtype=spec.dtype)
        read_extents(self.extents(name), whole)
        return whole

    def extents(self, name: str) -> list[Extent]:
        """Where the bytes of the parameter `name` lie in the files of the ranks that stored it."""
        spec, (key, layer) = self.spec(name), _stored_name(name)
        offsets, sizes = ([0] * len(spec.shape), spec.shape) if layer is None else ([layer] + [0] * len(spec.shape), (1, *spec.shape))
        wanted = ChunkStorageMetadata(offsets=torch.Size(offsets), sizes=torch.Size(sizes))
        items = create_read_items_for_chunk_list(key, self._metadata.state_dict_metadata[key], [wanted])
        found = [extent for item in items for extent in self._common_bytes(item, wanted.sizes, spec.dtype)]
        if sum(extent.num_bytes for extent in found) != spec.num_bytes:
            raise ValueError(f"the Megatron checkpoint {self._folder} has only a part of {name}: save it again")
        return found

    def _common_bytes(self, item: ReadItem, whole: Sequence[int], dtype: torch.dtype) -> Iterator[Extent]:
        """The bytes that one stored part and a parameter of the shape `whole` have in common."""
        place = self._metadata.storage_data[item.storage_index]
        path = self._folder / place.relative_path
        with open(path, "rb", buffering=0) as file:
            part, start = _stored_tensor(file, place.offset, place.length)
        if part.dtype != dtype or not part.is_contiguous():
            raise ValueError(f"{path} stores {item.storage_index.fqn} as {part.dtype} with strides {part.stride()}: save it row by row")
        start += part.storage_offset() * dtype.itemsize
        for in_part, in_whole, length in _common_runs(item, part.shape, whole):
            yield Extent(in_whole * dtype.itemsize, length * dtype.itemsize, path, start + in_part * dtype.itemsize)


def missing_files(folder: Path) -> list[str]:
    """Files of a checkpoint that its folder, as this machine sees it, does not have: some rank wrote them elsewhere."""
    if not (folder / "metadata.json").is_file():
        return ["metadata.json"]
    stored = _read_metadata(folder / ".metadata").storage_data
    return sorted({place.relative_path for place in stored.values() if not (folder / place.relative_path).is_file()})


def write_megatron_folder(
    folder: Path,
    specs: Mapping[str, TensorSpec],
    extents: Mapping[str, Sequence[Extent]],
    *,
    num_layers: int,
    side_files: Callable[[Path], None],
) -> None:
    """Write a checkpoint with the parameters `specs`, whose bytes lie at `extents`; bytes that lie nowhere are zeros.

    The folder appears under its name when it is complete. `side_files` fills its folder `hf_files`.
    """
    partial = partial_folder(folder)
    try:
        pieces = [piece for name, spec in specs.items() for piece in _pieces(name, spec, extents[name], num_layers)]
        extra = [_extra_state(layer, num_layers, linear) for linear in _LINEAR_LAYERS for layer in range(num_layers)]
        planner = _Announced([*(item for item, _ in pieces), *extra])
        storage = _CopyingWriter(partial, {item.index: of_item for item, of_item in pieces})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it remarks that there is one process
            checkpoint.save({}, storage_writer=storage, planner=planner, no_dist=True)
        (partial / SIDE_FILES).mkdir()
        side_files(partial / SIDE_FILES)
        torch.save({}, partial / "common.pt")
        (partial / "metadata.json").write_text(json.dumps(_FORMAT), encoding="utf-8")
    except BaseException:
        shutil.rmtree(partial)
        raise
    partial.rename(folder)


def _stored_name(name: str) -> tuple[str, int | None]:
    match = _LAYER.fullmatch(name)
    return (name, None) if match is None else (f"decoder.layers.{match[2]}", int(match[1]))


class _Announced(DefaultSavePlanner):
    """Announces what there is to write, by type and shape."""

    def __init__(self, items: list[WriteItem]) -> None:
        super().__init__(flatten_state_dict=False)
        self._items = items

    def create_local_plan(self) -> SavePlan:
        self.plan = SavePlan(self._items)
        return self.plan

    def resolve_data(self, write_item: WriteItem) -> Tensor | list[None]:
        """What torch.save writes, of a tensor without its data."""
        if write_item.tensor_data is None:
            return [None]
        return torch.empty(write_item.tensor_data.chunk.sizes, dtype=write_item.tensor_data.properties.dtype)


class _CopyingWriter(FileSystemWriter):
    """Stores what torch.save writes, with the data of tensors copied from other files."""

    def __init__(self, folder: Path, extents: Mapping[MetadataIndex, list[Extent]]) -> None:
        super().__init__(folder, sync_files=False)
        self._folder, self._extents = folder, extents

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        with open(self._folder / _DATA_FILE, "w+b", buffering=0) as file, torch.serialization.skip_data():
            results = [self._write(file, item, planner.resolve_data(item)) for item in plan.items]
        done: Future[list[WriteResult]] = Future()
        done.set_result(results)
        return done

    def _write(self, file: FileIO, item: WriteItem, data: Tensor | list[None]) -> WriteResult:
        start = file.seek(0, os.SEEK_END)
        torch.save(data, file)
        length = file.tell() - start
        if item.tensor_data is not None:
            _, offset = _stored_tensor(file, start, length)
            copy_extents(self._extents[item.index], file, offset=offset)
        return WriteResult(item.index, length, _StorageInfo(_DATA_FILE, start, length))


def _stored_tensor(file: FileIO, start: int, length: int) -> tuple[Tensor, int]:
    """The tensor that torch.save wrote to a part of `file`, its memory not filled, and where in `file` its storage begins."""
    view = _create_file_view(file, start, length)
    with torch.serialization.skip_data():
        tensor = torch.load(view, weights_only=True)
    view.seek(0)
    return tensor, start + torch._C.PyTorchFileReader(view).get_record_offset("data/0")


def _common_runs(item: ReadItem, part: Sequence[int], whole: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Runs of elements that are neighbors in a stored part and in the whole: the first one's place in each, and their number."""
    dim = len(whole) - 1
    while dim > 0 and item.lengths[dim] == part[dim] == whole[dim]:
        dim -= 1
    for index in product(*map(range, item.lengths[:dim])):
        first = (*index, *[0] * (len(whole) - dim))
        in_part, in_whole = _flat(item.storage_offsets, first, part), _flat(item.dest_offsets, first, whole)
        yield in_part, in_whole, math.prod(item.lengths[dim:])


def _flat(offsets: Sequence[int], index: Sequence[int], shape: Sequence[int]) -> int:
    place = 0
    for offset, step, size in zip(offsets, index, shape, strict=True):
        place = place * size + offset + step
    return place


def _pieces(name: str, spec: TensorSpec, extents: Sequence[Extent], num_layers: int) -> Iterator[tuple[WriteItem, list[Extent]]]:
    """The pieces along the first dimension in which a parameter is stored, and where the bytes of each lie."""
    key, layer = _stored_name(name)
    stacked, depth = ((), ()) if layer is None else ((layer,), (num_layers,))
    rows = max(1, _PIECE_BYTES // max(1, spec.row_bytes))
    for first in range(0, spec.shape[0], rows):
        part = (min(rows, spec.shape[0] - first), *spec.shape[1:])
        offsets = torch.Size((*stacked, first, *[0] * (len(spec.shape) - 1)))
        chunk = ChunkStorageMetadata(offsets=offsets, sizes=torch.Size((*(1 for _ in stacked), *part)))
        data = TensorWriteData(chunk=chunk, properties=TensorProperties(dtype=spec.dtype), size=torch.Size((*depth, *spec.shape)))
        item = WriteItem(index=MetadataIndex(key, offsets), type=WriteItemType.SHARD, tensor_data=data)
        yield item, list(cut(extents, first=first * spec.row_bytes, num_bytes=part[0] * spec.row_bytes))


def _extra_state(layer: int, num_layers: int, linear: str) -> WriteItem:
    """megatron.core asks for an object beside each linear layer's weights; it is empty but for delayed FP8 scales."""
    index = MetadataIndex(f"decoder.layers.{linear}._extra_state/shard_{layer}_{num_layers}")
    return WriteItem(index=index, type=WriteItemType.BYTE_IO)


def _read_metadata(path: Path) -> Metadata:
    """The index of a checkpoint. Raises BadData where it is missing or damaged, or refers to code."""
    try:
        with path.open("rb") as file:
            metadata = _MetadataUnpickler(file).load()
    except _UNPICKLING_ERRORS as error:
        raise BadData(f"{path} cannot be read ({error or type(error).__name__}): bring the checkpoint's files back") from None
    if not isinstance(metadata, Metadata):
        raise BadData(f"{path} holds no index of a checkpoint: bring the checkpoint's files back")
    return metadata


_UNPICKLING_ERRORS = (  # what the unpickler raises on broken files
    pickle.UnpicklingError,
    FileNotFoundError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)


class _MetadataUnpickler(pickle.Unpickler):
    """Reads a checkpoint's index without running what else a pickle could hold."""

    def find_class(self, module: str, name: str) -> Any:
        is_dtype = module == "torch" and isinstance(vars(torch).get(name), torch.dtype)
        if is_dtype or f"{module}.{name}" in _INDEX_TYPES:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"the checkpoint's index refers to {module}.{name}, which no checkpoint needs: do not trust this file")


_INDEX_TYPES = frozenset(
    f"{module.__name__}.{kind.__name__}"
    for module in (checkpoint.metadata, checkpoint.planner)
    for kind in vars(module).values()
    if isinstance(kind, type)
) | {"torch.distributed.checkpoint.filesystem._StorageInfo", "torch.serialization._get_layout", "torch.Size", "pathlib.PosixPath"}
