"""The smallest layout that makes a run fit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lmm_r1_mega.config import Config
from lmm_r1_mega.families.shape import ModelShape, RewardShape
from lmm_r1_mega.families.weights import TOWER
from lmm_r1_mega.planning.checks import divisors, gpus_needed, rollout_tensor_sizes, tensor_sizes
from lmm_r1_mega.planning.hardware import Hardware
from lmm_r1_mega.planning.memory import stage_memories
from lmm_r1_mega.planning.reward_models import reward_model_memories
from lmm_r1_mega.planning.rollout import engine_memory
from lmm_r1_mega.planning.verdict import Memories, check_memory

GPUS_PER_NODE = 8
"""Taken for a machine where the configuration does not say."""
LARGEST_PIPELINE = 16
DATA_SIZES = (1, 2, 4, 8, 16)
CONCURRENT_SAMPLES = 8
"""Longest samples that an engine has to hold at once for a layout to be advised."""
GPU_MEMORY_SHARES = (0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


@dataclass(frozen=True)
class Models:
    """Dimensions of all models of a run."""

    policy: ModelShape
    rewards: Mapping[str, RewardShape]


def smallest_fit(config: Config, models: Models, hardware: Hardware, *, image_share: float) -> str | None:
    """Settings of a layout that fits with the fewest GPUs, then without recomputation, then with the least splitting.

    Where none with up to 16 stages and 16 replicas fits, one with a frozen vision tower; None where that does not either, and on
    a CPU.
    """
    if not hardware.device.is_gpu:
        return None
    freeze = tuple(dict.fromkeys((*config.model.freeze, TOWER + "*")))
    frozen = config.model_copy(update={"model": config.model.model_copy(update={"freeze": freeze})})
    smaller = ((frozen, f" --model.freeze {' '.join(freeze)}"),) if models.policy.vision else ()
    for tried, extra in ((config, ""), *smaller):
        found = _first_fit(tried, models, hardware, image_share=image_share)
        if found:
            return _as_settings(found) + extra
    return None


def _first_fit(config: Config, models: Models, hardware: Hardware, *, image_share: float) -> Config | None:
    shape = models.policy
    concurrent = CONCURRENT_SAMPLES * (config.data.max_prompt_tokens + config.rollout.max_response_tokens)
    for candidate in sorted(_layouts(config, shape), key=_cost):
        stages = tuple(stage_memories(candidate, shape, hardware, image_share=image_share))
        beside = tuple(reward_model_memories(candidate, models.rewards, hardware, image_share=image_share))
        for shared in _engines(candidate, shape):
            engine = engine_memory(shared, shape, hardware)
            if engine.kv_tokens >= concurrent and check_memory(shared, Memories(stages, engine, beside), hardware).fits:
                return shared
    return None


def _layouts(config: Config, shape: ModelShape) -> Iterator[Config]:
    """Every layout whose tensor-parallel ranks stay on one machine, with and without recomputation."""
    longest = config.data.max_prompt_tokens + config.rollout.max_response_tokens - 1
    max_tokens_per_microbatch = max(config.layout.max_tokens_per_microbatch, longest)
    tensors = [size for size in tensor_sizes(shape) if _gpus_per_node(config) % size == 0]
    pipelines = [size for size in divisors(shape.num_layers) if size <= LARGEST_PIPELINE]
    for tensor, pipeline, data, recompute in itertools.product(tensors, pipelines, DATA_SIZES, ("none", "full")):
        sizes = {"tensor": tensor, "pipeline": pipeline, "data": data, "max_tokens_per_microbatch": max_tokens_per_microbatch}
        layout = config.layout.model_copy(update=sizes)
        model = config.model.model_copy(update={"recompute": recompute})
        yield _with_machines(config.model_copy(update={"layout": layout, "model": model}))


def _engines(config: Config, shape: ModelShape) -> Iterator[Config]:
    """Every way to give all GPUs of the trainer to engines, small engines and large shares of memory first."""
    sizes = [size for size in rollout_tensor_sizes(shape) if _gpus_per_node(config) % size == 0 and config.layout.num_ranks % size == 0]
    for tensor in sizes:
        for share in GPU_MEMORY_SHARES:
            update = {"tensor": tensor, "engines": config.layout.num_ranks // tensor, "gpu_memory": share}
            yield _with_machines(config.model_copy(update={"rollout": config.rollout.model_copy(update=update)}))


def _with_machines(config: Config) -> Config:
    """The configuration with as many machines as it needs."""
    nodes = -(-gpus_needed(config, num_trainers=config.layout.num_ranks) // _gpus_per_node(config))
    return config.model_copy(update={"cluster": config.cluster.model_copy(update={"nodes": nodes})})


def _gpus_per_node(config: Config) -> int:
    return config.cluster.gpus_per_node or GPUS_PER_NODE


def _cost(config: Config) -> tuple[int, ...]:
    layout = config.layout
    return (layout.num_ranks, config.model.recompute == "full", layout.pipeline, layout.tensor)


def _as_settings(config: Config) -> str:
    layout, rollout = config.layout, config.rollout
    return (
        f"--layout.tensor {layout.tensor} --layout.pipeline {layout.pipeline} --layout.data {layout.data} "
        f"--layout.max_tokens_per_microbatch {layout.max_tokens_per_microbatch} --model.recompute {config.model.recompute} "
        f"--rollout.engines {rollout.engines} "
        f"--rollout.tensor {rollout.tensor} --rollout.gpu_memory {rollout.gpu_memory} --cluster.nodes {config.cluster.nodes}"
    )
