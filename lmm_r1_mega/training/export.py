"""The weights of all ranks as Hugging Face tensors, one at a time: what goes to the rollout engines and to the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from lmm_r1_mega.convert.hf_folder import HFReader, HFWriter
from lmm_r1_mega.convert.mapping import Transfer
from lmm_r1_mega.models.load import canonical_parameters, mapping_of
from lmm_r1_mega.models.vision_language import VisionLanguageModel

READER = 0  # the global rank that always gets the tensors


class WeightExport:
    """This rank's part in the passes over all weights; what does not change between them is worked out once, collectively."""

    def __init__(self, model: VisionLanguageModel, hf_path: Path) -> None:
        """`hf_path` is the Hugging Face folder whose names and layout the tensors get."""
        with HFReader(hf_path) as hf:
            self._mapping, self._shapes = mapping_of(hf, model), hf.contents.shapes()
        self._dtype = model.config.params_dtype
        self._held = {name: parameter.detach() for name, parameter in canonical_parameters(model).items()}
        self._owners = _owning_ranks(list(self._held))

    @torch.no_grad()
    def tensors(self, *, everywhere: bool = False) -> Iterator[tuple[str, Tensor]]:
        """Hugging Face name and tensor of every weight, one at a time, in the trainer's precision; collective.

        Every rank iterates to the end. Global rank 0 gets the whole tensors, the others too with `everywhere`, else tensors of the
        same shape on the meta device. A tensor may share memory with the model: use it before the next update.
        """
        for transfer in self._mapping.transfers:
            owner = self._owners[transfer.megatron]
            parts = _parts(transfer, self._held, owner=owner)
            for index, name in enumerate(map(self._mapping.source_name, transfer.hf)):
                blank = torch.empty(self._shapes[name], dtype=self._dtype, device="meta")
                yield name, _delivered(parts[index] if parts else None, blank, owner=owner, everywhere=everywhere)


def _owning_ranks(names: list[str]) -> dict[str, int]:
    """Global rank, of the first data and tensor rank, whose stage holds each parameter; the earliest stage where two do."""
    group = parallel_state.get_pipeline_model_parallel_group()
    stages: list[list[str]] = [[] for _ in range(group.size())]
    dist.all_gather_object(stages, names, group=group)
    step = dist.get_world_size() // group.size()  # ranks of a stage lie together
    return {name: stage * step for stage in reversed(range(len(stages))) for name in stages[stage]}


def _parts(transfer: Transfer, held: dict[str, Tensor], *, owner: int) -> list[Tensor] | None:
    """The transfer's Hugging Face tensors, whole, on its owner; None on other ranks."""
    group = parallel_state.get_tensor_model_parallel_group()
    if owner not in dist.get_process_group_ranks(group):
        return None
    shard = held[transfer.megatron]
    if transfer.rule.split_dim is not None and group.size() > 1:
        shards = [torch.empty_like(shard) for _ in range(group.size())] if dist.get_rank() == owner else None
        dist.gather(shard, shards, dst=owner, group=group)
        return transfer.rule.to_hf(transfer.rule.unshard(shards)) if shards else None
    return transfer.rule.to_hf(shard) if dist.get_rank() == owner else None


def _delivered(part: Tensor | None, blank: Tensor, *, owner: int, everywhere: bool) -> Tensor:
    """The owner's tensor on rank 0, or everywhere; `blank` tells its shape and stands for it on ranks that do not get it."""
    if part is not None and owner != READER:
        dist.send(part.contiguous(), dst=READER)
    if dist.get_rank() != READER and not everywhere:
        return blank
    whole = torch.empty_like(blank, device=torch.cuda.current_device()) if part is None else part.contiguous()
    if dist.get_rank() == READER and owner != READER:
        dist.recv(whole, src=owner)
    if everywhere:
        dist.broadcast(whole, src=READER)
    return whole


def write_hf(folder: Path, weights: Iterator[tuple[str, Tensor]], *, source: Path, dtype: torch.dtype) -> None:
    """Write `weights` as a Hugging Face folder with the names, files and side files of `source`; collective.

    Global rank 0 writes, into a folder aside that gets its name when it is complete, in place of an earlier export.
    """
    if dist.get_rank() == READER:
        with HFReader(source) as hf:
            contents = hf.contents.cast(dtype)
        with HFWriter(folder, contents, source=source, replace=True) as writer:
            for name, tensor in weights:
                writer.write(name, tensor.cpu())
    else:
        for _ in weights:
            pass
    dist.barrier()
