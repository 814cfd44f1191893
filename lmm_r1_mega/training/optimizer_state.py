"""The optimizer's tensors in the shape of the weights, whatever Megatron's optimizer splits them into.

megatron-core 0.16.1 has a checkpoint format of its own for this, but its buffers lose the padding between buckets (it warns of
"data corruption" with tied embeddings), and it cannot load into torch's AdamW. Its bookkeeping of shards is used here; the
gathering is ours, and one checkpoint serves the split and the whole optimizer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from megatron.core.distributed.param_and_grad_buffer import _ParamAndGradBucket, _ParamAndGradBuffer
from megatron.core.optimizer import MegatronOptimizer
from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer, Range
from torch import Tensor, nn
from torch.nn import Parameter

MOMENTS = ("exp_avg", "exp_avg_sq")
MASTER = "param"

ParameterStates = dict[Parameter, dict[str, Tensor]]
"""For each trained weight of this rank: its moments and, where it is not float32 itself, its float32 master copy."""


@dataclass(frozen=True)
class _Shard:
    """The part of a weight that this rank's optimizer updates."""

    parameter: Parameter
    part: slice
    """Of the flattened weight."""
    place: slice
    """In this rank's share of the weight's bucket."""
    main: Tensor
    """What the inner optimizer updates: the weight's own memory, or a float32 copy."""


def empty_states(module: nn.Module) -> ParameterStates:
    """Tensors to load into, like those of `whole_states`."""
    return {
        parameter: {kind: torch.empty_like(parameter, dtype=torch.float32, requires_grad=False) for kind in _kinds(parameter)}
        for parameter in module.parameters()
        if parameter.requires_grad
    }


def whole_states(optimizer: MegatronOptimizer, module: nn.Module) -> ParameterStates:
    """The optimizer's tensors, each of the shape of its weight; collective over the data ranks where they split it.

    They are the optimizer's own where a rank has them whole, else copies in host memory: a device has room for its share only.
    """
    [part] = optimizer.chained_optimizers
    states: ParameterStates = {parameter: {} for parameter in module.parameters() if parameter.requires_grad}
    if not isinstance(part, DistributedOptimizer) or part.data_parallel_group.size() == 1:
        for shard in _shards(part, states):
            own = {kind: _tensor(part, shard, kind).detach().view(shard.parameter.shape) for kind in _kinds(shard.parameter)}
            states[shard.parameter] = own
        return states
    for buffer, bucket, shards in _buckets(part):
        for kind in _kinds(bucket.params_list[0]):
            gathered = _gather(part, bucket, shards, kind).cpu()
            for parameter in bucket.params_list:
                start, stop, _ = buffer.param_index_map[parameter]
                states[parameter][kind] = gathered[start - bucket.offset : stop - bucket.offset].view(parameter.shape)
    return states


@torch.no_grad()
def restore_states(optimizer: MegatronOptimizer, states: ParameterStates, *, steps_done: int) -> None:
    """Inverse of `whole_states`: every rank takes its part; the step counts become `steps_done`."""
    [part] = optimizer.chained_optimizers
    for shard in _shards(part, states):
        for kind, tensor in states[shard.parameter].items():
            _tensor(part, shard, kind).view(-1).copy_(tensor.view(-1)[shard.part])
        if "step" in part.state[shard.main]:
            part.state[shard.main]["step"].fill_(steps_done)
    for group in part.param_groups:
        if "step" in group:  # Transformer Engine's AdamW counts in the group
            group["step"] = steps_done


def _kinds(parameter: Parameter) -> tuple[str, ...]:
    return MOMENTS if parameter.dtype == torch.float32 else (*MOMENTS, MASTER)


def _tensor(part: MegatronOptimizer, shard: _Shard, kind: str) -> Tensor:
    return shard.main if kind == MASTER else part.state[shard.main][kind]


def _shards(part: MegatronOptimizer, states: ParameterStates) -> list[_Shard]:
    """All that this rank's optimizer updates."""
    is_split = isinstance(part, DistributedOptimizer)
    return [shard for *_, found in _buckets(part) for shard in found] if is_split else list(_whole_shards(part, states))


def _whole_shards(part: MegatronOptimizer, states: ParameterStates) -> Iterator[_Shard]:
    """One shard a weight: this rank updates all of it."""
    for parameter in states:
        everything = slice(0, parameter.numel())
        main = parameter if parameter.dtype == torch.float32 else parameter.main_param
        yield _Shard(parameter, everything, everything, main)


def _buckets(part: DistributedOptimizer) -> Iterator[tuple[_ParamAndGradBuffer, _ParamAndGradBucket, list[_Shard]]]:
    """Every bucket of the gradient buffers and what of it this rank updates."""
    for buffer, ranges in zip(part.buffers, part.gbuf_ranges, strict=True):
        [bucket_ranges] = ranges.values()
        for bucket, found in zip(buffer.buckets, bucket_ranges, strict=True):
            yield buffer, bucket, [_split_shard(part, parameter, at) for parameter, at in found["param_map"].items()]


def _split_shard(part: DistributedOptimizer, parameter: Parameter, at: dict[str, Range]) -> _Shard:
    group, order = part.model_param_group_index_map[parameter]
    main = part.optimizer.param_groups[group]["params"][order]
    return _Shard(parameter, slice(at["param"].start, at["param"].end), slice(at["gbuf_local"].start, at["gbuf_local"].end), main)


def _gather(part: DistributedOptimizer, bucket: _ParamAndGradBucket, shards: list[_Shard], kind: str) -> Tensor:
    """One kind of tensor for the whole bucket, on every data rank."""
    size = part.data_parallel_group.size()
    share = torch.zeros(bucket.grad_data.numel() // size, dtype=torch.float32, device=bucket.grad_data.device)
    for shard in shards:
        share[shard.place] = _tensor(part, shard, kind).detach()
    gathered = share.new_empty(share.numel() * size)
    dist.all_gather_into_tensor(gathered, share, group=part.data_parallel_group)
    return gathered
