"""What a configuration means on a model and a machine, without either of them: layout, batches, memory, and whether it fits.

Needs only the model's `config.json`; imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lmm_r1_mega.config import Config
from lmm_r1_mega.config.device import Precision
from lmm_r1_mega.families.shape import ModelShape, RewardShape
from lmm_r1_mega.planning.advice import Models, smallest_fit
from lmm_r1_mega.planning.checks import PlanProblem, find_problems, gpus_needed
from lmm_r1_mega.planning.hardware import Hardware
from lmm_r1_mega.planning.memory import StageMemory, stage_memories
from lmm_r1_mega.planning.parameters import num_parameters, num_vision_parameters
from lmm_r1_mega.planning.reward_models import RewardModelMemory, reward_model_memories
from lmm_r1_mega.planning.rollout import EngineMemory, engine_memory
from lmm_r1_mega.planning.verdict import Memories, MemoryCheck, check_memory


@dataclass(frozen=True)
class ModelFacts:
    """The model in numbers."""

    parameters: int
    vision_parameters: int
    padded_vocabulary: int
    precision: Precision


@dataclass(frozen=True)
class RankPlace:
    """Coordinates of one trainer rank: megatron.core counts tensor first, then data, then pipeline."""

    rank: int
    tensor: int
    data: int
    pipeline: int


@dataclass(frozen=True)
class Batch:
    """What a step and an optimizer step consist of."""

    samples: int
    optimizer_steps: int
    """Of one rollout step, over all epochs."""
    samples_per_update: int
    samples_per_rank: int
    microbatches_per_rank: int
    """Micro-batches of an optimizer step on each rank if every sample is as long as allowed."""


@dataclass(frozen=True)
class RunPlan:
    """Everything that the `plan` verb says."""

    model: ModelFacts
    hardware: Hardware
    image_share: float
    """Assumed part of a row's tokens that are image tokens."""
    num_gpus: int
    ranks: tuple[RankPlace, ...]
    batch: Batch
    stages: tuple[StageMemory, ...]
    engine: EngineMemory
    reward_models: tuple[RewardModelMemory, ...]
    concurrent_samples: int
    """Longest samples whose KV cache one engine holds at once."""
    problems: tuple[PlanProblem, ...]
    verdict: MemoryCheck
    advice: str | None
    """The smallest layout that fits, where this one does not."""

    @property
    def is_valid(self) -> bool:
        """Whether nothing forbids the run."""
        return self.verdict.fits and not any(problem.level == "error" for problem in self.problems)


def plan(
    config: Config, shape: ModelShape, hardware: Hardware, *, reward_shapes: Mapping[str, RewardShape], image_share: float = 0.25
) -> RunPlan:
    """Plan a run; `reward_shapes` are those of `reward.models`, `image_share` is the assumed share of image tokens in a micro-batch.

    Errors of the configuration are in `problems`. Where a layout does not divide the model, memory is that of its rounded parts.
    """
    problems = find_problems(config, shape, hardware)
    has_errors = any(problem.level == "error" for problem in problems)
    stages = tuple(stage_memories(config, shape, hardware, image_share=image_share))
    engine = engine_memory(config, shape, hardware)
    reward_models = tuple(reward_model_memories(config, reward_shapes, hardware, image_share=image_share))
    verdict = check_memory(config, Memories(stages, engine, reward_models), hardware)
    longest = config.data.max_prompt_tokens + config.rollout.max_response_tokens
    return RunPlan(
        model=model_facts(config, shape, hardware),
        hardware=hardware,
        image_share=image_share,
        num_gpus=gpus_needed(config, num_trainers=config.layout.num_ranks),
        ranks=rank_grid(config),
        batch=batch_arithmetic(config),
        stages=stages,
        engine=engine,
        reward_models=reward_models,
        concurrent_samples=engine.kv_tokens // longest,
        problems=tuple(problems),
        verdict=verdict,
        advice=None
        if verdict.fits and not has_errors
        else smallest_fit(config, Models(shape, reward_shapes), hardware, image_share=image_share),
    )


def model_facts(config: Config, shape: ModelShape, hardware: Hardware) -> ModelFacts:
    """Counts of the whole model."""
    return ModelFacts(
        parameters=num_parameters(shape),
        vision_parameters=num_vision_parameters(shape),
        padded_vocabulary=shape.padded_vocab(multiple=config.model.vocab_padding_multiple, tensor=config.layout.tensor),
        precision=hardware.device.precision(config.model.precision),
    )


def rank_grid(config: Config) -> tuple[RankPlace, ...]:
    """Coordinates of all trainer ranks.

    Example: tensor 2, pipeline 2, data 1 -> rank 0 (0, 0, 0), rank 1 (tensor 1), rank 2 (pipeline 1), rank 3 (both)
    """
    layout = config.layout
    return tuple(
        RankPlace(rank, rank % layout.tensor, rank // layout.tensor % layout.data, rank // (layout.tensor * layout.data))
        for rank in range(layout.num_ranks)
    )


def batch_arithmetic(config: Config) -> Batch:
    """Samples and rows of a step, rounded up where they do not divide."""
    algorithm, layout = config.algorithm, config.layout
    samples = algorithm.prompts_per_step * algorithm.samples_per_prompt
    per_update = -(-samples // algorithm.optimizer_steps)
    per_rank = -(-per_update // layout.data)
    longest = config.data.max_prompt_tokens + config.rollout.max_response_tokens - 1
    return Batch(
        samples=samples,
        optimizer_steps=algorithm.optimizer_steps * algorithm.epochs,
        samples_per_update=per_update,
        samples_per_rank=per_rank,
        microbatches_per_rank=-(-per_rank // max(layout.max_tokens_per_microbatch // longest, 1)),
    )
