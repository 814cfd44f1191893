"""What cannot run, or runs badly, seen before any process starts; every message says what to change and to which values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from lmm_r1_mega.config import Config
from lmm_r1_mega.convert.freeze import freeze_problems
from lmm_r1_mega.families.shape import ModelShape
from lmm_r1_mega.planning.hardware import Hardware
from lmm_r1_mega.planning.parameters import policy_ranks

FP8_ALIGNMENT = 16
ANY_GIB = 1.0  # no problem depends on how much memory there is


@dataclass(frozen=True)
class PlanProblem:
    """An `error` stops the run, a `warning` costs speed or learning."""

    level: Literal["error", "warning"]
    message: str


def find_problems(config: Config, shape: ModelShape, hardware: Hardware) -> list[PlanProblem]:
    """All problems of a configuration on a model and a machine, errors first."""
    errors = [
        *_model_errors(config, shape),
        *_length_errors(config, shape),
        *_rollout_errors(config, shape),
        *_gpu_errors(config, hardware),
    ]
    warnings = [*_batch_warnings(config), *_off_policy_warnings(config), *_speed_warnings(config, shape, hardware)]
    return [PlanProblem("error", message) for message in errors] + [PlanProblem("warning", message) for message in warnings]


def check_run(config: Config, shape: ModelShape, *, generates: bool) -> None:
    """Stop before any process starts where the settings cannot work with the model; without generation those of rollouts do not count.

    Raises:
        ValueError: every error with its way out, a line each.
    """
    hardware = Hardware(ANY_GIB if config.cluster.gpus_per_node else None)
    rollouts = [*_length_errors(config, shape), *_rollout_errors(config, shape)] if generates else []
    errors = [*_model_errors(config, shape), *rollouts, *_gpu_errors(config, hardware)]
    if errors:
        raise ValueError("\n".join(errors))


def nearest(value: int, valid: Iterable[int]) -> str:
    """The nearest valid values below and above `value`, for a message.

    Example: nearest(8, [1, 2, 4]) -> "4"; nearest(3, [1, 2, 4]) -> "2 or 4"
    """
    candidates = sorted(valid)
    below = [one for one in candidates if one <= value][-1:]
    above = [one for one in candidates if one > value][:1]
    return " or ".join(str(one) for one in below + above)


def divisors(number: int) -> list[int]:
    """All divisors of a number, ascending."""
    return [one for one in range(1, number + 1) if number % one == 0]


def tensor_sizes(shape: ModelShape) -> list[int]:
    """Tensor-parallel sizes of the trainer: they divide the key-value heads (hence the heads) and the feed-forward width."""
    return divisors(math.gcd(shape.num_kv_heads, shape.num_heads, shape.ffn_size))


def rollout_tensor_sizes(shape: ModelShape) -> list[int]:
    """Tensor-parallel sizes of vLLM: they divide the heads, and divide or are divided by the key-value heads."""
    whole = divisors(math.gcd(shape.num_heads, shape.ffn_size))
    return [size for size in whole if shape.num_kv_heads % size == 0 or size % shape.num_kv_heads == 0]


def gpus_needed(config: Config, *, num_trainers: int, engines: bool = True) -> int:
    """GPUs of a run, or its slots on CPUs: hybrid engines borrow the trainer's, disaggregated ones have their own."""
    wanted = config.rollout.engines * config.rollout.tensor if engines else 0
    return num_trainers + wanted if config.cluster.placement == "disaggregated" or num_trainers == 0 else num_trainers


def _model_errors(config: Config, shape: ModelShape) -> Iterator[str]:
    tensor, pipeline = config.layout.tensor, config.layout.pipeline
    if tensor not in tensor_sizes(shape):
        yield (
            f"layout.tensor {tensor} does not divide the model's {shape.num_heads} heads, {shape.num_kv_heads} key-value heads and "
            f"feed-forward width {shape.ffn_size}: use {nearest(tensor, tensor_sizes(shape))}"
        )
    if shape.num_layers % pipeline:
        yield (
            f"layout.pipeline {pipeline} does not divide the model's {shape.num_layers} layers: "
            f"use {nearest(pipeline, divisors(shape.num_layers))}"
        )
    yield from freeze_problems(shape, config.model.freeze)
    trained = [ranks.trained for ranks in policy_ranks(shape, model=config.model, layout=config.layout)]
    if not any(trained):
        yield "model.freeze leaves nothing of the model to train: name fewer parameters"
    elif 0 in trained:
        yield f"model.freeze leaves nothing of pipeline stage {trained.index(0)} to train: name fewer, or lower layout.pipeline {pipeline}"


def _length_errors(config: Config, shape: ModelShape) -> Iterator[str]:
    longest = config.data.max_prompt_tokens + config.rollout.max_response_tokens
    if longest - 1 > config.layout.max_tokens_per_microbatch:
        yield (
            f"the longest sample has {longest} tokens (data.max_prompt_tokens {config.data.max_prompt_tokens} + "
            f"rollout.max_response_tokens {config.rollout.max_response_tokens}) and a micro-batch holds layout.max_tokens_per_microbatch "
            f"{config.layout.max_tokens_per_microbatch}: raise layout.max_tokens_per_microbatch to {longest - 1} or more, "
            f"or lower the other two"
        )
    if longest > shape.max_positions:
        yield (
            f"the longest sample has {longest} tokens and the model {shape.max_positions} positions: "
            f"lower data.max_prompt_tokens or rollout.max_response_tokens by {longest - shape.max_positions}"
        )


def _rollout_errors(config: Config, shape: ModelShape) -> Iterator[str]:
    tensor = config.rollout.tensor
    if config.algorithm.needs_critic and config.critic.warmup_steps >= config.run.steps:
        yield (
            f"critic.warmup_steps {config.critic.warmup_steps} leaves none of run.steps {config.run.steps} for the policy to learn in: "
            f"lower it, or raise run.steps"
        )
    if tensor not in rollout_tensor_sizes(shape):
        yield (
            f"rollout.tensor {tensor} does not fit the model's {shape.num_heads} heads and {shape.num_kv_heads} key-value heads: "
            f"use {nearest(tensor, rollout_tensor_sizes(shape))}"
        )
    wanted, shared = config.rollout.engines * tensor, config.layout.num_ranks
    if config.cluster.placement == "hybrid" and wanted > shared:
        yield (
            f"rollout.engines {config.rollout.engines} x rollout.tensor {tensor} need {wanted} GPUs and share the trainer's {shared}: "
            f"lower rollout.engines to {max(shared // tensor, 1)}, or set cluster.placement to disaggregated"
        )


def check_overlap(config: Config, *, has_gpus: bool) -> None:
    """Where the GPUs of a run are found out at its start.

    Raises:
        ValueError: generation shall be ahead of training, but both take turns on the same GPUs.
    """
    errors = list(_overlap_errors(config)) if has_gpus else []
    if errors:
        raise ValueError(errors[0])


def _overlap_errors(config: Config) -> Iterator[str]:
    if config.rollout.max_staleness and config.cluster.placement == "hybrid":
        yield (
            f"rollout.max_staleness {config.rollout.max_staleness} generates while the trainer works, but with cluster.placement hybrid "
            f"engines sleep then: set cluster.placement to disaggregated, or rollout.max_staleness to 0"
        )


def _gpu_errors(config: Config, hardware: Hardware) -> Iterator[str]:
    per_node = config.cluster.gpus_per_node
    if not hardware.device.is_gpu:
        return
    yield from _overlap_errors(config)
    if not per_node:
        return
    needed, present = gpus_needed(config, num_trainers=config.layout.num_ranks), config.cluster.nodes * per_node
    if needed > present:
        layout = config.layout
        apart = needed - layout.num_ranks
        fitting = (present - apart) // (layout.tensor * layout.pipeline)
        remedy = f"lower layout.data to {fitting}" if fitting > 0 else "lower layout.tensor or layout.pipeline"
        yield (
            f"{needed} GPUs are needed (layout.tensor {layout.tensor} x pipeline {layout.pipeline} x data {layout.data}"
            f"{f' + {apart} of the engines' if apart else ''}) and cluster.nodes {config.cluster.nodes} x cluster.gpus_per_node {per_node} "
            f"are {present}: {remedy}, or raise cluster.nodes to {-(-needed // per_node)}"
        )
    if per_node % config.rollout.tensor:
        yield (
            f"rollout.tensor {config.rollout.tensor} does not divide cluster.gpus_per_node {per_node} and an engine stays on one machine: "
            f"use {nearest(config.rollout.tensor, divisors(per_node))}"
        )


def _batch_warnings(config: Config) -> Iterator[str]:
    algorithm, data = config.algorithm, config.layout.data
    samples = algorithm.prompts_per_step * algorithm.samples_per_prompt
    if samples % algorithm.optimizer_steps:
        yield (
            f"{samples} samples a step (algorithm.prompts_per_step {algorithm.prompts_per_step} x samples_per_prompt "
            f"{algorithm.samples_per_prompt}) make uneven optimizer steps: set algorithm.optimizer_steps "
            f"{algorithm.optimizer_steps} to {nearest(algorithm.optimizer_steps, divisors(samples))}"
        )
    per_update = samples // algorithm.optimizer_steps
    if per_update % data:
        yield (
            f"{per_update} samples an optimizer step are uneven over layout.data {data}: "
            f"set layout.data to {nearest(data, divisors(per_update))}"
        )
    if algorithm.prompts_per_step % config.rollout.engines:
        yield (
            f"algorithm.prompts_per_step {algorithm.prompts_per_step} are uneven over rollout.engines {config.rollout.engines}: "
            f"set rollout.engines to {nearest(config.rollout.engines, divisors(algorithm.prompts_per_step))}"
        )


def _off_policy_warnings(config: Config) -> Iterator[str]:
    algorithm = config.algorithm
    corrected = algorithm.old_logprobs == "rollout" or algorithm.importance_cap is not None or algorithm.importance_bounds is not None
    if config.rollout.max_staleness and not corrected:
        yield (
            f"rollout.max_staleness {config.rollout.max_staleness} learns from samples of older weights "
            f"as if they were of the present ones: "
            f"set algorithm.old_logprobs to rollout, or algorithm.importance_cap to 2"
        )


def _speed_warnings(config: Config, shape: ModelShape, hardware: Hardware) -> Iterator[str]:
    tensor, per_node = config.layout.tensor, config.cluster.gpus_per_node
    if hardware.device.is_gpu and per_node and per_node % tensor:
        yield (
            f"layout.tensor {tensor} does not divide cluster.gpus_per_node {per_node}, so tensor-parallel ranks talk between machines: "
            f"use {nearest(tensor, set(divisors(per_node)) & set(tensor_sizes(shape)))}"
        )
    wanted, shared = config.rollout.engines * config.rollout.tensor, config.layout.num_ranks
    if config.cluster.placement == "hybrid" and wanted < shared and hardware.device.is_gpu:
        yield (
            f"{shared - wanted} of the trainer's {shared} GPUs idle while the engines generate: "
            f"raise rollout.engines from {config.rollout.engines} to {shared // config.rollout.tensor}"
        )
    widths = {"hidden size": shape.hidden_size, "feed-forward width a rank": shape.ffn_size // tensor}
    uneven = [f"{name} {width}" for name, width in widths.items() if width % FP8_ALIGNMENT]
    if hardware.device.precision(config.model.precision) == "fp8" and uneven:
        yield f"fp8 wants multiples of {FP8_ALIGNMENT}, but {' and '.join(uneven)}: lower layout.tensor, or set model.precision to bf16"
