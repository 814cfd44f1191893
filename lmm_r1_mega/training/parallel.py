"""Process groups of the trainer: the only place that starts and stops torch.distributed and Megatron's parallel state."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist
from megatron.core import parallel_state, tensor_parallel
from torch import Tensor

from lmm_r1_mega.config import LayoutSettings
from lmm_r1_mega.models.device import this_device, use_host_as_device
from lmm_r1_mega.training.vocab_parallel import VocabShard, vocab_shard


def initialize(layout: LayoutSettings, *, rank: int, rendezvous: str, seed: int = 0, timeout_s: float = 600) -> None:
    """Join the trainer's ranks as global rank `rank`; collective over `layout.num_ranks` processes.

    `rendezvous` is `file:///PATH`, where no other user can read, for ranks of one machine, or `tcp://ADDRESS:PORT`, a free port of rank
    0's machine on the network between the ranks. `timeout_s` is the deadline of every later collective. gloo on a CPU, nccl on GPUs.
    """
    use_host_as_device()
    if this_device().is_gpu:
        torch.cuda.set_device(rank % torch.cuda.device_count())
    dist.init_process_group(
        this_device().collectives,
        store=_open_store(rendezvous, rank=rank, num_ranks=layout.num_ranks, timeout=timedelta(seconds=timeout_s)),
        rank=rank,
        world_size=layout.num_ranks,
        timeout=timedelta(seconds=timeout_s),
    )
    form_groups(layout, seed=seed)


def _open_store(rendezvous: str, *, rank: int, num_ranks: int, timeout: timedelta) -> dist.Store:
    """What the ranks find each other by. torch's own `tcp://` would listen on all interfaces and answer whoever asks."""
    scheme, _, place = rendezvous.partition("://")
    if scheme == "file":
        return dist.FileStore(place, num_ranks)
    host, _, port = place.rpartition(":")
    listener = socket.create_server((host, int(port))).detach() if rank == 0 else None
    return dist.TCPStore(host, int(port), num_ranks, is_master=rank == 0, timeout=timeout, master_listen_fd=listener)


def form_groups(layout: LayoutSettings, *, seed: int = 0) -> None:
    """Megatron's parallel state over the ranks of an initialized torch.distributed.

    Raises: ValueError where the layout does not use exactly these ranks.
    """
    if dist.get_world_size() != layout.num_ranks:
        raise ValueError(f"the layout has {layout.num_ranks} ranks (tensor x pipeline x data), {dist.get_world_size()} processes joined")
    parallel_state.initialize_model_parallel(tensor_model_parallel_size=layout.tensor, pipeline_model_parallel_size=layout.pipeline)
    tensor_parallel.model_parallel_cuda_manual_seed(seed)


def shutdown() -> None:
    """Leave the process groups; the inverse of `initialize`."""
    parallel_state.destroy_model_parallel()
    dist.destroy_process_group()


def data_rank() -> int:
    """Which share of the micro-batches this rank works on."""
    return parallel_state.get_data_parallel_rank()


def returns_results() -> bool:
    """Whether the driver reads this rank's results: first tensor rank of the last stage, one for each data rank."""
    return parallel_state.is_pipeline_last_stage() and parallel_state.get_tensor_model_parallel_rank() == 0


def is_first_stage() -> bool:
    """Whether this rank's stage has the embedding and the vision tower."""
    return parallel_state.is_pipeline_first_stage()


def vocab_shard_of(width: int, *, vocab_size: int, forbidden_ids: tuple[int, ...] = ()) -> VocabShard:
    """This rank's shard of a vocabulary when each tensor rank holds `width` columns."""
    group = parallel_state.get_tensor_model_parallel_group() if parallel_state.get_tensor_model_parallel_world_size() > 1 else None
    rank = parallel_state.get_tensor_model_parallel_rank()
    return vocab_shard(rank=rank, width=width, vocab_size=vocab_size, group=group, forbidden_ids=forbidden_ids)


def largest_over_data_ranks(value: int) -> int:
    """Maximum over the data-parallel ranks; collective."""
    shared = torch.tensor(value, device=torch.cuda.current_device())
    dist.all_reduce(shared, op=dist.ReduceOp.MAX, group=parallel_state.get_data_parallel_group())
    return int(shared)


def sums_from_last_stage(microbatches: list[dict[str, Tensor]]) -> dict[str, float]:
    """Sums over microbatches and data ranks of what the last stage counted, the same on every rank; collective.

    `microbatches` holds one dict a microbatch, all with the same names, on the last stage and nothing elsewhere.
    """

    def total() -> dict[str, float]:
        names = sorted(microbatches[0])
        sums = _stacked(microbatches, names).sum(dim=0)
        dist.all_reduce(sums, group=parallel_state.get_data_parallel_group())
        return dict(zip(names, sums.tolist(), strict=True))

    return _from_last_stage(total)


def extremes_from_last_stage(microbatches: list[dict[str, Tensor]]) -> dict[str, float]:
    """`<name>/min` and `<name>/max` over microbatches and data ranks of the pairs of the last stage, the same on every rank; collective.

    `microbatches` is as for `sums_from_last_stage`, with the smallest and the largest number in the place of a sum. Infinite ones are of
    no token at all, and left out.
    """

    def outermost() -> dict[str, float]:
        names = sorted(microbatches[0])
        if not names:
            return {}
        pairs = _stacked(microbatches, names)
        outer = torch.stack([-pairs[:, :, 0], pairs[:, :, 1]]).amax(dim=1)
        dist.all_reduce(outer, op=dist.ReduceOp.MAX, group=parallel_state.get_data_parallel_group())
        found = {f"{name}/min": -low for name, low in zip(names, outer[0].tolist(), strict=True)}
        found |= {f"{name}/max": high for name, high in zip(names, outer[1].tolist(), strict=True)}
        return {name: value for name, value in found.items() if math.isfinite(value)}

    return _from_last_stage(outermost)


def _stacked(microbatches: list[dict[str, Tensor]], names: list[str]) -> Tensor:
    return torch.stack([torch.stack([microbatch[name].double() for name in names]) for microbatch in microbatches])


def _from_last_stage(reduce: Callable[[], dict[str, float]]) -> dict[str, float]:
    """What the ranks of the last stage make of their numbers together, on every rank; collective."""
    shared: list[dict[str, float]] = [reduce() if parallel_state.is_pipeline_last_stage() else {}]
    if parallel_state.get_pipeline_model_parallel_world_size() > 1:
        source = parallel_state.get_pipeline_model_parallel_last_rank()
        dist.broadcast_object_list(shared, src=source, group=parallel_state.get_pipeline_model_parallel_group())
    return shared[0]
