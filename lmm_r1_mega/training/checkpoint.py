"""Megatron distributed checkpoints: one logical copy of weights and optimizer that any layout can load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import dist_checkpointing, parallel_state
from megatron.core.dist_checkpointing.mapping import ShardedStateDict
from megatron.core.dist_checkpointing.strategies.torch import (
    MCoreSavePlanner,
    TorchDistSaveShardedStrategy,
    _replace_state_dict_keys_with_sharded_keys,
    mcore_to_pyt_state_dict,
)
from megatron.core.optimizer import MegatronOptimizer
from megatron.core.transformer.module import MegatronModule
from torch.distributed.checkpoint import FileSystemWriter, save_state_dict

from lmm_r1_mega.training.optimizer import separate_step_counts


@dataclass(frozen=True)
class Trained:
    """What a checkpoint is about."""

    module: MegatronModule
    optimizer: MegatronOptimizer


def save_checkpoint(folder: Path, trained: Trained, *, steps_done: int) -> None:
    """Write weights, optimizer, number of optimizer steps and the host's random state into `folder`; collective.

    Every file is on the disk when it returns. The caller writes aside and renames.
    """
    if dist.get_rank() == 0:
        Path(folder).mkdir(parents=True, exist_ok=True)
    dist.barrier()
    state = _sharded_state(trained, is_loading=False)
    state |= {"steps_done": steps_done, "random_state": torch.get_rng_state()}
    dist_checkpointing.save(state, str(folder), sharded_strategy=_SaveInProcess("torch_dist", 1))


def load_checkpoint(folder: Path, trained: Trained) -> int:
    """Load what `save_checkpoint` wrote, at this or another layout; the number of optimizer steps done. Collective.

    Raises: ValueError where the folder is not a complete checkpoint.
    """
    if not dist_checkpointing.check_is_distributed_checkpoint(str(folder)):
        raise ValueError(f"{folder} is not a complete checkpoint: give the folder of one, with its metadata.json")
    state = dist_checkpointing.load(_sharded_state(trained, is_loading=True), str(folder))
    trained.module.load_state_dict(state["model"])
    trained.optimizer.load_state_dict(state["optimizer"])
    separate_step_counts(trained.optimizer)
    torch.set_rng_state(state["random_state"])
    return state["steps_done"]


def _sharded_state(trained: Trained, *, is_loading: bool) -> dict[str, Any]:
    metadata = {
        "distrib_optim_sharding_type": "fully_reshardable",
        "chained_optim_avoid_prefix": True,
        "dp_cp_group": parallel_state.get_data_parallel_group(with_context_parallel=True),
    }
    model = trained.module.sharded_state_dict(metadata=metadata)
    optimizer = trained.optimizer.sharded_state_dict(model, is_loading=is_loading, metadata=metadata)
    return {"model": model, "optimizer": optimizer}


class _SaveInProcess(TorchDistSaveShardedStrategy):
    """Megatron's checkpoint format written by this process: its own strategy forks writers and a manager, even when synchronous."""

    def save(self, sharded_state_dict: ShardedStateDict, checkpoint_dir: str | Path) -> None:
        renamed, _, _ = _replace_state_dict_keys_with_sharded_keys(sharded_state_dict, self.keep_only_main_replica)
        save_state_dict(
            mcore_to_pyt_state_dict(renamed, False),
            FileSystemWriter(checkpoint_dir, thread_count=1, sync_files=True),
            planner=MCoreSavePlanner(dedup_replicated_tensors=not self.keep_only_main_replica, flatten_state_dict=False),
        )
