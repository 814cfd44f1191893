"""Rows through Megatron's pipeline schedule, and the chain of factors between a token's loss and its gradient.

The gradient of an optimizer step is that of the sum over all tokens of weight x token loss. Left alone, Megatron would average: it
divides a micro-batch's loss by the number of micro-batches, its data-parallel gradient by the number of ranks, and in
`finalize_model_grads` by a token count. `calculate_per_token_loss` turns the first two off, and `finalize_sums` hands over no
count. So every factor is 1, and what is left are sums: over a microbatch in the objective, over micro-batches in the gradient buffer, over
data ranks in its all-reduce, over tensor ranks in the backward of the layers and, for what sequence parallelism replicates, in
`finalize_model_grads`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

import torch
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads
from megatron.core.pipeline_parallel import get_forward_backward_func
from megatron.core.transformer.module import MegatronModule
from torch import Tensor

from lmm_r1_mega.config import LayoutSettings
from lmm_r1_mega.schema import PackedBatch
from lmm_r1_mega.training.objectives import Objective

T = TypeVar("T")


def wrap_for_sums(model: MegatronModule, layout: LayoutSettings) -> DistributedDataParallel:
    """Megatron's data parallelism over `model`, set up so that gradients are sums in float32."""
    model.config.calculate_per_token_loss = True
    model.config.finalize_model_grads_func = finalize_sums
    settings = DistributedDataParallelConfig(grad_reduce_in_fp32=True, use_distributed_optimizer=layout.distributed_optimizer)
    return DistributedDataParallel(model.config, settings, model)


def finalize_sums(model: list[DistributedDataParallel], num_tokens: Tensor | None, **groups: Any) -> None:
    """Megatron's reduction of gradients over ranks without its division by a token count."""
    finalize_model_grads(model, None, **groups)


def forward_backward(
    model: DistributedDataParallel,
    microbatches: Iterable[PackedBatch],
    *,
    num_microbatches: int,
    objective: Callable[[int, PackedBatch, Tensor], Objective],
) -> list[Objective]:
    """Add the gradient of all micro-batches to the buffers and reduce it; the objectives, detached, on the last stage, else [].

    `objective` gets the microbatch's index, the microbatch and the model's output for it.
    """

    def finish(index: int, microbatch: PackedBatch, output: Tensor) -> tuple[Tensor, Tensor, Objective]:
        found = objective(index, microbatch, output)
        return found.loss, torch.zeros((), dtype=torch.int), found._replace(loss=found.loss.detach().clone())

    return _run(model, microbatches, num_microbatches=num_microbatches, finish=finish, forward_only=False)


@torch.no_grad()
def forward(
    model: MegatronModule, microbatches: Iterable[PackedBatch], *, num_microbatches: int, read: Callable[[int, PackedBatch, Tensor], T]
) -> list[T]:
    """What `read` makes of index, micro-batch and output, for every micro-batch on the last stage, else []."""

    def finish(index: int, microbatch: PackedBatch, output: Tensor, *, non_loss_data: bool) -> T:
        return read(index, microbatch, output)

    return _run(model, microbatches, num_microbatches=num_microbatches, finish=finish, forward_only=True)


def _run(
    model: MegatronModule, microbatches: Iterable[PackedBatch], *, num_microbatches: int, finish: Callable[..., Any], forward_only: bool
) -> list[Any]:
    def step(numbered: Iterator[tuple[int, PackedBatch]], model: MegatronModule) -> tuple[Tensor, Callable[..., Any]]:
        index, microbatch = next(numbered)
        return model(microbatch), partial(finish, index, microbatch)

    return get_forward_backward_func()(
        forward_step_func=step,
        data_iterator=enumerate(microbatches),
        model=model,
        num_microbatches=num_microbatches,
        seq_length=1,  # the stages tell each other the real lengths
        micro_batch_size=1,
        forward_only=forward_only,
        collect_non_loss_data=forward_only,
    )
