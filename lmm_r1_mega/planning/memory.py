"""Bytes on one trainer rank: what stays, and what a forward and backward pass adds."""

from __future__ import annotations

from dataclasses import dataclass

from lmm_r1_mega.config import Config, LayoutSettings
from lmm_r1_mega.config.device import Precision
from lmm_r1_mega.families.shape import ModelShape, VisionShape
from lmm_r1_mega.families.weights import TOWER
from lmm_r1_mega.planning.hardware import GIB, Hardware, element_bytes
from lmm_r1_mega.planning.parameters import RankParameters, critic_ranks, policy_ranks

RUNTIME_BYTES = {"gpu": 3 * GIB, "cpu": GIB}
"""An assumption, not a formula: CUDA context, communication buffers and fragmentation; Python and its libraries on a CPU."""


@dataclass(frozen=True)
class States:
    """What one model keeps on a rank between steps, in bytes."""

    weights: int
    gradients: int
    optimizer: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer


@dataclass(frozen=True)
class StageMemory:
    """A rank of one pipeline stage, in bytes unless it says otherwise."""

    stage: int
    num_layers: int
    num_parameters: int
    num_trained: int
    policy: States
    critic: States
    activations: int
    """Of the decoder, for all micro-batches that the stage has under way."""
    vision: int
    """Activations of a trained vision tower."""
    logits: int
    """Logits and their gradient."""
    runtime: int
    snapshot: int
    """Copy of the reference policy in host memory."""

    @property
    def resident(self) -> int:
        """Held while the rollout engines generate, too."""
        return self.policy.total + self.critic.total + self.runtime

    @property
    def peak(self) -> int:
        """Most that training needs at one time."""
        return self.resident + self.activations + self.vision + self.logits


def stage_memories(config: Config, shape: ModelShape, hardware: Hardware, *, image_share: float) -> list[StageMemory]:
    """Memory of a rank of every pipeline stage; `image_share` is the part of a row's tokens that are image tokens."""
    precision = hardware.device.precision(config.model.precision)
    policy = policy_ranks(shape, model=config.model, layout=config.layout)
    critic = critic_ranks(shape, model=config.model, layout=config.layout)
    has_critic = config.algorithm.needs_critic
    has_reference = config.algorithm.needs_reference
    width = element_bytes(precision)
    nothing = States(0, 0, 0)
    return [
        StageMemory(
            stage=stage,
            num_layers=shape.num_layers // config.layout.pipeline,
            num_parameters=policy[stage].total,
            num_trained=policy[stage].trained,
            policy=states(policy[stage], precision=precision, layout=config.layout),
            critic=states(critic[stage], precision=precision, layout=config.layout) if has_critic else nothing,
            activations=decoder_activations(config, shape, stage=stage, width=width),
            vision=_tower_activations(config, shape, stage=stage, width=width, image_share=image_share),
            logits=logits_bytes(config, shape, width=width) if stage == config.layout.pipeline - 1 else 0,
            runtime=RUNTIME_BYTES[hardware.device.kind],
            snapshot=policy[stage].trained * width if has_reference else 0,
        )
        for stage in range(config.layout.pipeline)
    ]


def states(rank: RankParameters, *, precision: Precision, layout: LayoutSettings) -> States:
    """Weights, gradients and optimizer state of one model on a rank.

    As megatron.core keeps them: gradients of trained parameters in fp32; AdamW's two moments in fp32, and beside bf16 weights an
    fp32 copy of them; the last three split over the data-parallel ranks by the distributed optimizer. fp8 keeps the bf16 weights
    and caches each matrix and its transpose in one byte an element.
    """
    cached = 2 * rank.matrices if precision == "fp8" else 0
    per_parameter = 8 if precision == "fp32" else 12
    shards = layout.data if layout.distributed_optimizer else 1
    return States(
        weights=rank.total * element_bytes(precision) + cached,
        gradients=rank.trained * 4,
        optimizer=-(-rank.trained * per_parameter // shards),
    )


def layer_activations(shape: ModelShape, layout: LayoutSettings, *, width: int) -> int:
    """Bytes a token that one decoder layer keeps for its backward pass, without recomputation.

    Counted in the manner of Korthikanti et al. 2022 ("Reducing Activation Recomputation in Large Transformer Models", section 4)
    for this layer: no dropout, attention that does not keep its scores, grouped-query attention, a gated feed-forward network.
    Split by sequence parallelism only: of each of the two norms the input, the normed input and the output, 6 h. Always split over
    the tensor-parallel ranks: query, key, value, result and its copy for the projection; gate and up in one piece, up again, the
    activated gate, and their product, 5 ffn. Never split: sines and cosines of query and key, 4 d.
    """
    attention = (3 * shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim
    split = (attention + 5 * shape.ffn_size) // layout.tensor
    return (6 * shape.hidden_size // _sequence_shards(layout) + split + 4 * shape.head_dim) * width


def decoder_activations(config: Config, shape: ModelShape, *, stage: int, width: int) -> int:
    """Bytes of the decoder's activations on a rank of a stage.

    Megatron's 1F1B schedule has `pipeline - stage` micro-batches under way on a stage. Full recomputation keeps only each layer's
    input (2 s b h in the paper's notation), and the whole of one layer while backward goes through it.
    """
    layout = config.layout
    layers = shape.num_layers // layout.pipeline
    in_flight = layout.pipeline - stage
    whole_layer = layer_activations(shape, layout, width=width)
    if config.model.recompute == "none":
        return in_flight * layers * whole_layer * layout.max_tokens_per_microbatch
    layer_input = shape.hidden_size * width // _sequence_shards(layout)
    return (in_flight * layers * layer_input + whole_layer) * layout.max_tokens_per_microbatch


def logits_bytes(config: Config, shape: ModelShape, *, width: int) -> int:
    """Bytes of a row's logits on a rank of the last stage and of their gradient, at most: as if the row had no prompts, whose places get
    none. Log-probabilities are taken in small chunks."""
    padded = shape.padded_vocab(multiple=config.model.vocab_padding_multiple, tensor=config.layout.tensor)
    return 2 * config.layout.max_tokens_per_microbatch * (padded // config.layout.tensor) * width


def tower_activations(vision: VisionShape, *, num_patches: int, width: int) -> int:
    """Bytes that the vision tower keeps for backward, every block of it: the Hugging Face module, whole on each rank.

    Each of a block's two norms computes in fp32 and keeps that input, the normed one and its output; attention keeps query, key and
    value in one piece, rotated query and key, the result and its copy; the feed-forward network keeps gate, activated gate, up and
    their product, without a gate its input and its output.
    """
    norms = 2 * vision.hidden_size * (4 + 2 * width)
    rest = (7 * vision.hidden_size + (4 if vision.is_gated else 2) * vision.ffn_size) * width
    return num_patches * vision.depth * (norms + rest)


def _tower_activations(config: Config, shape: ModelShape, *, stage: int, width: int, image_share: float) -> int:
    """Bytes of the tower's activations: on the first stage, for every micro-batch under way; none where it is frozen."""
    if shape.vision is None or stage > 0 or any(pattern.removeprefix("model.") == TOWER + "*" for pattern in config.model.freeze):
        return 0
    num_patches = int(config.layout.max_tokens_per_microbatch * image_share) * shape.vision.merge_size**2
    return config.layout.pipeline * tower_activations(shape.vision, num_patches=num_patches, width=width)


def _sequence_shards(layout: LayoutSettings) -> int:
    """Parts into which norms and residuals are split along the sequence."""
    return layout.tensor if layout.sequence_parallel else 1
