"""Megatron distributed checkpoints: one logical copy of weights and optimizer that any layout can load."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import dist_checkpointing, parallel_state
from megatron.core.dist_checkpointing.dict_utils import nested_values
from megatron.core.dist_checkpointing.mapping import ShardedObject, ShardedStateDict, ShardedTensor, ShardedTensorFactory
from megatron.core.dist_checkpointing.strategies.torch import (
    MCoreSavePlanner,
    TorchDistSaveShardedStrategy,
    _replace_state_dict_keys_with_sharded_keys,
    mcore_to_pyt_state_dict,
)
from megatron.core.optimizer import MegatronOptimizer
from megatron.core.transformer.module import MegatronModule
from torch import Tensor
from torch.distributed.checkpoint import FileSystemWriter, save_state_dict
from torch.distributed.checkpoint.api import CheckpointException

from lmm_r1_mega.errors import DiskFull, naming_storage_errors
from lmm_r1_mega.models.load import load_sharded
from lmm_r1_mega.training.optimizer_state import ParameterStates, empty_states, restore_states, whole_states


@dataclass(frozen=True)
class Trained:
    """What a checkpoint is about."""

    module: MegatronModule
    optimizer: MegatronOptimizer


def save_checkpoint(folder: Path, trained: Trained, *, steps_done: int) -> None:
    """Write weights, optimizer, number of optimizer steps and the host's random state into `folder`; collective.

    Every file is on the disk when it returns. The caller writes aside and renames.

    Raises: StorageFailed, or RuntimeError for what the storage does not explain, on every rank.
    """
    if dist.get_rank() == 0:
        Path(folder).mkdir(parents=True, exist_ok=True)
    dist.barrier()
    state = _sharded_state(trained, optimizer_states=whole_states(trained.optimizer, trained.module))
    try:
        dist_checkpointing.save(state | {"steps_done": steps_done}, str(folder), sharded_strategy=_SaveInProcess("torch_dist", 1))
    except CheckpointException as failure:  # no Exception: it would pass by everyone who waits for one
        raise _storage_error(folder, trained, failure) from failure


def load_checkpoint(folder: Path, trained: Trained) -> int:
    """Load what `save_checkpoint` wrote, at this or another layout; the number of optimizer steps done. Collective.

    Raises: ValueError where the folder is not a complete checkpoint, or holds objects that would run code.
    """
    if not dist_checkpointing.check_is_distributed_checkpoint(str(folder)):
        raise ValueError(f"{folder} is not a complete checkpoint: give the folder of one, with its metadata.json")
    loaded_states = empty_states(trained.module)
    state = load_sharded(_sharded_state(trained, optimizer_states=loaded_states), folder)
    trained.module.load_state_dict(state["model"])
    restore_states(trained.optimizer, _by_parameter(state["optimizer"], trained), steps_done=state["steps_done"])
    torch.set_rng_state(state["random_state"])
    return state["steps_done"]


def _sharded_state(trained: Trained, *, optimizer_states: ParameterStates) -> dict[str, Any]:
    """What Megatron saves or fills: the weights, and beside each the optimizer's tensors of the same shape and sharding."""
    group = parallel_state.get_data_parallel_group(with_context_parallel=True)
    model = trained.module.sharded_state_dict(metadata={"dp_cp_group": group})
    sharded = {entry.data: entry for entry in nested_values(model) if isinstance(entry, ShardedTensor | ShardedTensorFactory)}
    optimizer = {
        name: {kind: _beside(sharded[parameter], kind, tensor) for kind, tensor in optimizer_states[parameter].items()}
        for name, parameter in trained.module.named_parameters()
        if parameter in optimizer_states
    }
    random_state = ShardedObject("random_state", torch.get_rng_state(), (1,), (0,), replica_id=dist.get_rank())
    return {"model": model, "optimizer": optimizer, "random_state": random_state}


def _beside(weight: ShardedTensor | ShardedTensorFactory, kind: str, tensor: Tensor) -> ShardedTensor | ShardedTensorFactory:
    changes = {"key": f"optimizer.{kind}.{weight.key}", "data": tensor}
    return replace(weight, **changes) if isinstance(weight, ShardedTensorFactory) else replace(weight, **changes, dtype=tensor.dtype)


def _by_parameter(loaded: dict[str, dict[str, Tensor]], trained: Trained) -> ParameterStates:
    parameters = dict(trained.module.named_parameters())
    return {parameters[name]: tensors for name, tensors in loaded.items()}


def _storage_error(folder: Path, trained: Trained, failure: CheckpointException) -> Exception:
    """What to tell of a failed write: torch reports every error of the system as a broken file, so the system is asked again."""
    needed, free = sum(parameter.nbytes for parameter in trained.module.parameters()), shutil.disk_usage(folder).free
    if free < needed:
        return DiskFull(
            f"no room for a checkpoint in {folder}: {free // 2**20} MiB are free; nothing written before is lost; make room, then "
            f"`lmm-r1-mega resume`"
        )
    try:
        with naming_storage_errors(folder), TemporaryFile(dir=folder) as probe:
            probe.write(b"probe")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error
    return RuntimeError(f"the checkpoint {folder} could not be written: {failure}")


class _SaveInProcess(TorchDistSaveShardedStrategy):
    """Megatron's checkpoint format written by this process: its own strategy forks writers and a manager, even when synchronous."""

    def save(self, sharded_state_dict: ShardedStateDict, checkpoint_dir: str | Path) -> None:
        renamed, _, _ = _replace_state_dict_keys_with_sharded_keys(sharded_state_dict, self.keep_only_main_replica)
        save_state_dict(
            mcore_to_pyt_state_dict(renamed, False),
            FileSystemWriter(checkpoint_dir, thread_count=1, sync_files=True),
            planner=MCoreSavePlanner(dedup_replicated_tensors=not self.keep_only_main_replica, flatten_state_dict=False),
        )
