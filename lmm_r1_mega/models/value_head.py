"""The critic's output layer: one value for each token."""

from __future__ import annotations

import torch
from jaxtyping import Float
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor


class ValueHead(torch.nn.Module):
    """Linear map from hidden state to a scalar, replicated over tensor-parallel ranks and called like an output layer.

    It starts at zero: the first advantages are then the plain returns.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1, config.hidden_size, dtype=torch.float32, device=torch.cuda.current_device()))

    def forward(
        self, hidden: Float[Tensor, "positions 1 hidden"], weight: None = None, runtime_gather_output: bool | None = None
    ) -> tuple[Float[Tensor, "positions 1 1"], None]:
        return torch.nn.functional.linear(hidden.float(), self.weight), None
