"""Memory of reward models, and beside which trainer rank each of them works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lmm_r1_mega.config import Config
from lmm_r1_mega.families.shape import RewardShape, VisionShape
from lmm_r1_mega.planning.hardware import GIB, Hardware, element_bytes

RUNTIME_BYTES = {"gpu": GIB, "cpu": GIB}
"""An assumption: CUDA context, which stays on a GPU once it was used, and workspaces; Python and its libraries on a CPU."""
FP32 = 4


@dataclass(frozen=True)
class RewardModelMemory:
    """The process of one reward model, in bytes unless it says otherwise.

    Its weights lie in host memory, and on a GPU only while it scores.
    """

    name: str
    rank: int
    """Trainer rank whose GPU (on a CPU: whose machine) it shares."""
    num_parameters: int
    weights: int
    activations: int
    runtime: int

    @property
    def scoring(self) -> int:
        """Most that it needs at one time."""
        return self.weights + self.activations + self.runtime


def trainer_rank(index: int, *, num_ranks: int) -> int:
    """Rank beside which the reward model of this place in `reward.models` works: in turn."""
    return index % num_ranks


def reward_model_memories(
    config: Config, shapes: Mapping[str, RewardShape], hardware: Hardware, *, image_share: float
) -> list[RewardModelMemory]:
    """Memory of every model of `reward.models`, whose names `shapes` has too."""
    width = element_bytes(hardware.device.precision(config.model.precision))
    return [
        RewardModelMemory(
            name=name,
            rank=trainer_rank(index, num_ranks=config.layout.num_ranks),
            num_parameters=shapes[name].num_parameters,
            weights=shapes[name].num_parameters * width,
            activations=batch_activations(config, shapes[name], width=width, image_share=image_share),
            runtime=RUNTIME_BYTES[hardware.device.kind],
        )
        for index, name in enumerate(config.reward.models)
    ]


def batch_activations(config: Config, shape: RewardShape, *, width: int, image_share: float) -> int:
    """Bytes that the forward pass of a batch needs at most, `image_share` of its tokens being image tokens.

    Nothing is kept for a backward pass: one layer at a time, of the tower or of the decoder, beside what stays of the images.
    """
    longest = config.data.max_prompt_tokens + config.rollout.max_response_tokens
    num_tokens = max(config.layout.max_tokens_per_microbatch, longest)
    decoder = num_tokens * decoder_bytes(shape, longest=longest, width=width)
    if shape.vision is None:
        return decoder
    num_patches = int(num_tokens * image_share) * shape.vision.merge_size**2
    return num_patches * image_bytes(shape.vision, width=width) + max(decoder, num_patches * tower_bytes(shape.vision, width=width))


def decoder_bytes(shape: RewardShape, *, longest: int, width: int) -> int:
    """Bytes a token in the feed-forward network, the widest place of a layer, samples being padded to the longest.

    The model's input, the layer's, that of the network before and after its norm, and positions for a fifth of that width at most,
    5 h; the activated gate, up and their product, 3 ffn; the mask, a byte for every pair of tokens.
    """
    return (5 * shape.hidden_size + 3 * shape.ffn_size) * width + longest


def tower_bytes(vision: VisionShape, *, width: int) -> int:
    """Bytes a patch in the attention of the vision tower, the widest place of a block.

    The tower's input, the block's, its norm and the three projections, 6 h; query and key before and after they are turned and what
    that adds up, 8 h of fp32.
    """
    return vision.hidden_size * (6 * width + 8 * FP32)


def image_bytes(vision: VisionShape, *, width: int) -> int:
    """Bytes a patch that stay as long as a batch: its pixels as bytes and as fp32, and what the tower says of it."""
    return vision.patch_features * (1 + FP32) + vision.hidden_size * width
