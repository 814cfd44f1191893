"""AdamW over Megatron's gradient buffers, its gradient norm and its rates."""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
from megatron.core.distributed import DistributedDataParallel
from megatron.core.optimizer import MegatronOptimizer, OptimizerConfig, get_megatron_optimizer
from megatron.core.optimizer.clip_grads import clip_grad_by_total_norm_fp32

from lmm_r1_mega.config import OptimizerSettings
from lmm_r1_mega.errors import NotFinite

LARGEST_WEIGHT = 1e6
"""No weight of a model that answers comes near."""


def build_optimizer(model: DistributedDataParallel, settings: OptimizerSettings, *, params_dtype: torch.dtype) -> MegatronOptimizer:
    """AdamW in float32, split over the data ranks where `model` says so; norms and biases are a group without weight decay.

    Where Transformer Engine and apex are absent, Megatron takes torch's AdamW, here in its fused form. Its state exists from the
    start, so that a checkpoint before the first step is like any other.
    """
    config = OptimizerConfig(
        optimizer="adam",
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        adam_beta1=settings.beta1,
        adam_beta2=settings.beta2,
        adam_eps=settings.eps,
        clip_grad=settings.grad_clip,
        bf16=params_dtype == torch.bfloat16,
        params_dtype=params_dtype,
        use_distributed_optimizer=model.ddp_config.use_distributed_optimizer,
    )
    optimizer = get_megatron_optimizer(config, [model])
    for part in optimizer.chained_optimizers:
        part.init_state_fn(part.optimizer, config)
    if isinstance(optimizer.optimizer, torch.optim.AdamW):
        _prepare_torch_adamw(optimizer.optimizer)
    return optimizer


def set_rates(optimizer: MegatronOptimizer, *, learning_rate: float, weight_decay: float) -> None:
    """Learning rate of every group, and the weight decay of the groups that have one."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
        group["weight_decay"] = weight_decay * group["wd_mult"]


def step(optimizer: MegatronOptimizer, *, grad_clip: float) -> float:
    """Clip the reduced gradients to the norm `grad_clip` (0: no limit), update the weights, return the norm before clipping.

    Raises: NotFinite where the norm is not finite; the weights are then as before.
    """
    optimizer.prepare_grads()
    norm = _grad_norm(optimizer)
    if not math.isfinite(norm):
        raise NotFinite(f"the norm of the gradient is {norm}")
    if grad_clip:
        for part in optimizer.chained_optimizers:
            clip_grad_by_total_norm_fp32(part.get_parameters(), max_norm=grad_clip, total_norm=norm)
    optimizer.step_with_ready_grads()
    return norm


@torch.no_grad()
def check_weights(model: torch.nn.Module) -> None:
    """Raises: NotFinite for a trained weight that an update has ruined. The ranks look each at its own."""
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    largest = torch.stack([torch.linalg.vector_norm(parameter, ord=torch.inf, dtype=torch.float32) for _, parameter in trained])
    ruined = (~(largest <= LARGEST_WEIGHT)).nonzero()
    if len(ruined):
        at = int(ruined[0])
        raise NotFinite(f"the update made a weight of {trained[at][0]} {largest[at].item():.3g}")


@torch.no_grad()
def _grad_norm(optimizer: MegatronOptimizer) -> float:
    """Norm of the whole model's gradient, each element counted once, summed in float64 so that it does not depend on the layout."""
    squares = torch.zeros((), dtype=torch.float64, device=torch.cuda.current_device())
    for part in optimizer.chained_optimizers:
        for gradient in part.get_main_grads_for_grad_norm():
            squares += torch.linalg.vector_norm(gradient, dtype=torch.float64).square()
    dist.all_reduce(squares, group=optimizer.get_grad_stats_parallel_group())
    return math.sqrt(squares.item())


def _prepare_torch_adamw(adamw: torch.optim.AdamW) -> None:
    """Take its fused form, and give it the step counts that Megatron leaves out."""
    for group in adamw.param_groups:
        group["fused"] = True
        for parameter in group["params"]:
            adamw.state[parameter]["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
