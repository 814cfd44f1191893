"""Memory of one rollout engine's GPU."""

from __future__ import annotations

from dataclasses import dataclass

from lmm_r1_mega.config import Config
from lmm_r1_mega.families.shape import ModelShape
from lmm_r1_mega.planning.hardware import GIB, Hardware, element_bytes
from lmm_r1_mega.planning.parameters import num_parameters

WORKING_BYTES = {"gpu": 3 * GIB, "cpu": GIB}
"""An assumption: CUDA context, graphs and the activations of a prefill; Python and its libraries on a CPU."""
HOST_STEP_TOKENS = 8192
"""Prompt tokens that an engine on a CPU takes in at once, at least: no prompt is cut."""


@dataclass(frozen=True)
class EngineMemory:
    """One of an engine's GPUs (on a CPU its process), in bytes unless it says otherwise."""

    budget: int
    """All that the engine may take there."""
    weights: int
    working: int
    kv_bytes_per_token: int

    @property
    def kv_room(self) -> int:
        """What is left for the KV cache; negative where the weights alone do not fit."""
        return self.budget - self.weights - self.working

    @property
    def kv_tokens(self) -> int:
        """Tokens of KV cache that the engine can hold."""
        return max(self.kv_room, 0) // self.kv_bytes_per_token


def engine_memory(config: Config, shape: ModelShape, hardware: Hardware) -> EngineMemory:
    """Weights and room for the KV cache; where ranks outnumber key-value heads each holds a whole one.

    On a CPU vLLM multiplies with a packed copy of the output layer and keeps the original, which an embedding may share. While new
    weights come there are the tensor that came and the next copy as well. While prompts are taken in there are, of one layer, the
    residual, its norm, and gate, up and their product.
    """
    width = element_bytes(hardware.device.precision(config.model.precision))
    tensor = config.rollout.tensor
    weights = num_parameters(shape) * width // tensor
    working = WORKING_BYTES[hardware.device.kind]
    if not hardware.device.is_gpu:
        prompt_tokens = max(config.data.max_prompt_tokens + config.rollout.max_response_tokens, HOST_STEP_TOKENS)
        prefill = prompt_tokens * (2 * shape.hidden_size + 3 * shape.ffn_size // tensor) * width
        working += 3 * shape.vocab_size * shape.hidden_size * width // tensor + prefill
    heads = max(shape.num_kv_heads // tensor, 1)
    if hardware.gpu_gib is None:
        budget = weights + working + int(config.rollout.kv_cache_gib * GIB)
    else:
        budget = int(config.rollout.gpu_memory * hardware.gpu_gib * GIB)
    return EngineMemory(budget, weights, working, 2 * shape.num_layers * heads * shape.head_dim * width)
