"""Megatron distributed checkpoints (format torch_dist of megatron-core 0.16) tensor by tensor, in one process.

A checkpoint stores every parameter whole, whatever layout wrote it; decoder layers are stacked along a first dimension. The
reader and the writer of torch.distributed.checkpoint do the storage; planners of ours hand them one tensor at a time.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed import checkpoint
from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter, LoadPlan, SavePlan
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, Metadata, MetadataIndex, TensorProperties, TensorStorageMetadata
from torch.distributed.checkpoint.planner import ReadItem, TensorWriteData, WriteItem, WriteItemType
from torch.distributed.checkpoint.planner_helpers import create_read_items_for_chunk_list

from lmm_r1_mega.convert.ahead import one_ahead
from lmm_r1_mega.convert.hf_folder import partial_folder
from lmm_r1_mega.convert.safetensors_file import TensorSpec

SIDE_FILES = "hf_files"
"""Folder inside a checkpoint with config, tokenizer, processor and chat template of the Hugging Face source."""
_FORMAT = {"sharded_backend": "torch_dist", "sharded_backend_version": 1, "common_backend": "torch", "common_backend_version": 1}
_LAYER = re.compile(r"decoder\.layers\.(\d+)\.(.*)")
_PIECE_BYTES = 32 * 2**20
"""Tensors are stored in pieces of about this size, because writing a piece copies it."""
_LINEAR_LAYERS = ("self_attention.linear_qkv", "self_attention.linear_proj", "mlp.linear_fc1", "mlp.linear_fc2")


class MegatronReader:
    """The parameters of a checkpoint, by their names in the whole model (`decoder.layers.3.mlp.linear_fc2.weight`)."""

    def __init__(self, folder: Path) -> None:
        if not (Path(folder) / "metadata.json").is_file():
            raise ValueError(f"{folder} is not a complete Megatron checkpoint: give the folder of one, with its metadata.json")
        self._metadata = _read_metadata(Path(folder) / ".metadata")
        self._storage = FileSystemReader(folder)
        self._storage.set_up_storage_reader(self._metadata, is_coordinator=True)

    def spec(self, name: str) -> TensorSpec:
        """Type and shape of the parameter `name`; `ValueError` where the checkpoint has none."""
        key, layer = _stored_name(name)
        stored = self._metadata.state_dict_metadata.get(key)
        if not isinstance(stored, TensorStorageMetadata):
            raise ValueError(f"the Megatron checkpoint has no {key}: it is of another model")
        return TensorSpec(stored.properties.dtype, tuple(stored.size[1:] if layer is not None else stored.size))

    def tensor(self, name: str) -> Tensor:
        """The whole parameter `name`, put together from the parts that each rank stored."""
        spec, (key, layer) = self.spec(name), _stored_name(name)
        offsets, sizes = ([0] * len(spec.shape), spec.shape) if layer is None else ([layer] + [0] * len(spec.shape), (1, *spec.shape))
        wanted = ChunkStorageMetadata(offsets=torch.Size(offsets), sizes=torch.Size(sizes))
        target = torch.empty(sizes, dtype=spec.dtype)
        items = create_read_items_for_chunk_list(key, self._metadata.state_dict_metadata[key], [wanted])
        self._storage.read_data(LoadPlan(items), _IntoTensor(target)).wait()
        return target.reshape(spec.shape)


def missing_files(folder: Path) -> list[str]:
    """Files of a checkpoint that its folder, as this machine sees it, does not have: some rank wrote them elsewhere."""
    if not (folder / "metadata.json").is_file():
        return ["metadata.json"]
    stored = _read_metadata(folder / ".metadata").storage_data
    return sorted({place.relative_path for place in stored.values() if not (folder / place.relative_path).is_file()})


def write_megatron_folder(
    folder: Path, specs: Mapping[str, TensorSpec], read: Callable[[str], Tensor], *, num_layers: int, side_files: Callable[[Path], None]
) -> None:
    """Write a checkpoint with the parameters `specs`; `read` is asked for each of them once, when it is written.

    The folder appears under its name when it is complete. `side_files` fills its folder `hf_files`.
    """
    partial = partial_folder(folder)
    try:
        planner = _OneAtATime(specs, read, num_layers=num_layers)
        storage = FileSystemWriter(partial, sync_files=False, per_thread_copy_ahead=0)  # copying ahead would change the order
        with warnings.catch_warnings(), _without_checksums():
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


@contextmanager
def _without_checksums() -> Iterator[None]:
    """torch computes a checksum of what it saves, for half of the time, and never looks at it when it loads."""
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        yield
    finally:
        torch.serialization.set_crc32_options(before)


def _stored_name(name: str) -> tuple[str, int | None]:
    match = _LAYER.fullmatch(name)
    return (name, None) if match is None else (f"decoder.layers.{match[2]}", int(match[1]))


class _OneAtATime(DefaultSavePlanner):
    """Announces every tensor by its size, in pieces that are cheap to hold, and reads it when the writer comes to it."""

    def __init__(self, specs: Mapping[str, TensorSpec], read: Callable[[str], Tensor], *, num_layers: int) -> None:
        super().__init__(flatten_state_dict=False)
        self._tensors = one_ahead((name, read(name)) for name in specs)
        self._current: tuple[str, Tensor] | None = None
        self._pieces = {item.index: (name, start) for name, spec in specs.items() for start, item in _write_items(name, spec, num_layers)}
        self._items = [item for name, spec in specs.items() for _, item in _write_items(name, spec, num_layers)]
        self._items += [_extra_state(layer, num_layers, linear) for linear in _LINEAR_LAYERS for layer in range(num_layers)]

    def create_local_plan(self) -> SavePlan:
        self.plan = SavePlan(self._items)
        return self.plan

    def resolve_data(self, write_item: WriteItem) -> Tensor | io.BytesIO:
        if write_item.type is WriteItemType.BYTE_IO:
            empty = io.BytesIO()
            torch.save([None], empty)
            return empty
        name, start = self._pieces[write_item.index]
        while self._current is None or self._current[0] != name:  # the writer asks in the order of the plan
            self._current = None  # frees the one before
            self._current = next(self._tensors)
        sizes = write_item.tensor_data.chunk.sizes
        return self._current[1].reshape(-1)[start : start + sizes.numel()].reshape(sizes)


class _IntoTensor(DefaultLoadPlanner):
    """Copies what was read into its place in one tensor."""

    def __init__(self, target: Tensor) -> None:
        super().__init__()
        self._target = target

    def resolve_tensor(self, read_item: ReadItem) -> Tensor:
        part = self._target
        for dim, (start, length) in enumerate(zip(read_item.dest_offsets, read_item.lengths, strict=True)):
            part = part.narrow(dim, start, length)
        return part

    def commit_tensor(self, read_item: ReadItem, tensor: Tensor) -> None:
        """Nothing to do: the target itself was written."""


def _write_items(name: str, spec: TensorSpec, num_layers: int) -> Iterator[tuple[int, WriteItem]]:
    """The pieces along the first dimension in which a parameter is stored, each with its place in the flat tensor."""
    key, layer = _stored_name(name)
    stacked, depth = ((), ()) if layer is None else ((layer,), (num_layers,))
    row_bytes = spec.num_bytes // spec.shape[0]
    rows = max(1, _PIECE_BYTES // max(1, row_bytes))
    for first in range(0, spec.shape[0], rows):
        part = (min(rows, spec.shape[0] - first), *spec.shape[1:])
        offsets = torch.Size((*stacked, first, *[0] * (len(spec.shape) - 1)))
        chunk = ChunkStorageMetadata(offsets=offsets, sizes=torch.Size((*(1 for _ in stacked), *part)))
        data = TensorWriteData(chunk=chunk, properties=TensorProperties(dtype=spec.dtype), size=torch.Size((*depth, *spec.shape)))
        place = first * (row_bytes // spec.dtype.itemsize)
        yield place, WriteItem(index=MetadataIndex(key, offsets), type=WriteItemType.SHARD, tensor_data=data)


def _extra_state(layer: int, num_layers: int, linear: str) -> WriteItem:
    """megatron.core asks for an object beside each linear layer's weights; it is empty but for delayed FP8 scales."""
    index = MetadataIndex(f"decoder.layers.{linear}._extra_state/shard_{layer}_{num_layers}")
    return WriteItem(index=index, type=WriteItemType.BYTE_IO)


def _read_metadata(path: Path) -> Metadata:
    with path.open("rb") as file:
        return _MetadataUnpickler(file).load()


class _MetadataUnpickler(pickle.Unpickler):
    """Reads a checkpoint's index without running what else a pickle could hold."""

    def find_class(self, module: str, name: str) -> Any:
        is_dtype = module == "torch" and isinstance(vars(torch).get(name), torch.dtype)
        if is_dtype or f"{module}.{name}" in _INDEX_TYPES:
            return super().find_class(module, name)
        raise ValueError(f"the checkpoint's index refers to {module}.{name}, which no checkpoint needs: do not trust this file")


_INDEX_TYPES = frozenset(
    f"{module.__name__}.{kind.__name__}"
    for module in (checkpoint.metadata, checkpoint.planner)
    for kind in vars(module).values()
    if isinstance(kind, type)
) | {"torch.distributed.checkpoint.filesystem._StorageInfo", "torch.serialization._get_layout", "torch.Size", "pathlib.PosixPath"}
