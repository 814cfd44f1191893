"""Whole checkpoints between Hugging Face folders and Megatron distributed checkpoints, copied range by range between their files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lmm_r1_mega.convert.extents import Extent, cut
from lmm_r1_mega.convert.hf_folder import HFContents, HFReader, HFWriter, copy_side_files
from lmm_r1_mega.convert.mapping import Transfer, WeightMapping, make_mapping
from lmm_r1_mega.convert.megatron_folder import SIDE_FILES, MegatronReader, write_megatron_folder
from lmm_r1_mega.convert.row_runs import row_runs
from lmm_r1_mega.convert.safetensors_file import TensorSpec
from lmm_r1_mega.families.registry import read_shape
from lmm_r1_mega.families.weights import short_name

CONTENTS = "weights.index"
"""Beside the side files in a Megatron checkpoint: which tensors the Hugging Face source had, in which of its files."""


@dataclass(frozen=True)
class FolderComparison:
    """How a Megatron checkpoint relates to a Hugging Face folder."""

    num_tensors: int
    num_bytes: int
    different: tuple[str, ...]
    """Hugging Face names whose tensors are not equal bit by bit."""


def check_weight_files(source: Path) -> None:
    """Look at the headers of the weights in the Hugging Face folder `source`; `ValueError` where files or tensors are missing or cut."""
    shape = read_shape(source)
    with HFReader(source) as hf:
        make_mapping(hf.contents.shapes(), shape, padded_vocab=shape.padded_vocab(multiple=1, tensor=1))


def hf_to_megatron(source: Path, folder: Path, *, vocab_multiple: int = 128) -> WeightMapping:
    """Write the Hugging Face folder `source` as a Megatron checkpoint that any layout can load."""
    shape = read_shape(source)
    with HFReader(source) as hf:
        mapping = make_mapping(hf.contents.shapes(), shape, padded_vocab=shape.padded_vocab(multiple=vocab_multiple, tensor=1))
        transfers = mapping.by_megatron()
        specs = {name: _megatron_spec(transfer, mapping, hf.contents) for name, transfer in transfers.items()}
        write_megatron_folder(
            folder,
            specs,
            {name: _of_whole(transfer, mapping, hf) for name, transfer in transfers.items()},
            num_layers=shape.num_layers,
            side_files=lambda inner: _keep_source(source, hf.contents, inner),
        )
    return mapping


def megatron_to_hf(folder: Path, out: Path, *, source: Path | None = None) -> WeightMapping:
    """Write the Megatron checkpoint `folder` as a Hugging Face folder.

    Names, files and side files are those of the Hugging Face folder that the checkpoint was made from, which the checkpoint
    remembers; one that was saved in training needs `source`. Weights keep the type that the checkpoint has.
    """
    stored = MegatronReader(folder)
    side_files, contents = _source_of(folder, source)
    shape = read_shape(side_files)
    mapping = make_mapping(contents.shapes(), shape, padded_vocab=shape.padded_vocab(multiple=1, tensor=1))
    types = {name: stored.spec(transfer.megatron).dtype for transfer in mapping.transfers for name in transfer.hf}
    specs = {name: TensorSpec(types[short_name(name)], spec.shape) for name, spec in contents.specs.items()}
    with HFWriter(out, HFContents(specs, contents.file_of), source=side_files) as hf:
        for transfer in mapping.transfers:
            names = [mapping.source_name(name) for name in transfer.hf]
            for name, extents in zip(names, _of_parts(transfer, [specs[name] for name in names], stored), strict=True):
                hf.copy(name, extents)
    return mapping


def compare(source: Path, folder: Path) -> FolderComparison:
    """Compare a Hugging Face folder with a Megatron checkpoint, tensor by tensor and bit by bit."""
    stored, shape = MegatronReader(folder), read_shape(source)
    different: list[str] = []
    with HFReader(source) as hf:
        mapping = make_mapping(hf.contents.shapes(), shape, padded_vocab=shape.padded_vocab(multiple=1, tensor=1))
        for transfer in mapping.transfers:
            parts = transfer.rule.to_hf(stored.tensor(transfer.megatron))
            names = [mapping.source_name(name) for name in transfer.hf]
            different += [name for name, part in zip(names, parts, strict=True) if not _same_bits(hf.tensor(name), part)]
        specs = hf.contents.specs
    return FolderComparison(len(specs), sum(spec.num_bytes for spec in specs.values()), tuple(different))


def _same_bits(one: Tensor, other: Tensor) -> bool:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).contiguous().view(torch.uint8))


def _megatron_spec(transfer: Transfer, mapping: WeightMapping, contents: HFContents) -> TensorSpec:
    specs = [contents.specs[mapping.source_name(name)] for name in transfer.hf]
    whole = transfer.rule.to_megatron([torch.empty(spec.shape, dtype=spec.dtype, device="meta") for spec in specs])
    return TensorSpec(whole.dtype, tuple(whole.shape))


def _of_whole(transfer: Transfer, mapping: WeightMapping, hf: HFReader) -> list[Extent]:
    """The bytes of a Megatron parameter, in the Hugging Face files."""
    names = [mapping.source_name(name) for name in transfer.hf]
    specs = [hf.contents.specs[name] for name in names]
    extents: list[Extent] = []
    for run in row_runs(transfer.rule, [spec.shape[0] for spec in specs]):
        row = specs[run.part].row_bytes
        extents += cut([hf.extent(names[run.part])], first=run.part_row * row, num_bytes=run.num_rows * row, at=run.whole_row * row)
    return extents


def _of_parts(transfer: Transfer, specs: Sequence[TensorSpec], stored: MegatronReader) -> list[list[Extent]]:
    """The bytes of each Hugging Face tensor, in the files of the Megatron checkpoint: the inverse of `_of_whole`."""
    found = stored.spec(transfer.megatron)
    shapes = [tuple(part.shape) for part in transfer.rule.to_hf(torch.empty(found.shape, dtype=found.dtype, device="meta"))]
    if shapes != [spec.shape for spec in specs]:
        raise ValueError(f"{transfer.megatron} is {list(found.shape)} in the Megatron checkpoint: it is of another model than its source")
    whole = stored.extents(transfer.megatron)
    parts: list[list[Extent]] = [[] for _ in specs]
    for run in row_runs(transfer.rule, [spec.shape[0] for spec in specs]):
        row = specs[run.part].row_bytes
        parts[run.part] += cut(whole, first=run.whole_row * row, num_bytes=run.num_rows * row, at=run.part_row * row)
    return parts


def _keep_source(source: Path, contents: HFContents, inner: Path) -> None:
    copy_side_files(source, inner)
    rows = {name: [contents.file_of[name], str(spec.dtype).removeprefix("torch."), spec.shape] for name, spec in contents.specs.items()}
    (inner / CONTENTS).write_text(json.dumps(rows, indent=1), encoding="utf-8")


def _source_of(folder: Path, source: Path | None) -> tuple[Path, HFContents]:
    if source is not None:
        with HFReader(source) as hf:
            return source, hf.contents
    inner = Path(folder) / SIDE_FILES
    if not (inner / CONTENTS).is_file():
        raise ValueError(f"{folder} does not know its Hugging Face source: name the folder that training started from")
    rows = json.loads((inner / CONTENTS).read_text(encoding="utf-8"))
    specs = {name: TensorSpec(vars(torch)[dtype], tuple(shape)) for name, (_, dtype, shape) in rows.items()}
    return inner, HFContents(specs, {name: file for name, (file, _, _) in rows.items()})
