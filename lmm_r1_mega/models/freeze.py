"""Which parameters are not trained."""

from __future__ import annotations

from lmm_r1_mega.convert.freeze import freeze_problems, frozen_names
from lmm_r1_mega.convert.plan import WeightMapping
from lmm_r1_mega.convert.shape import ModelShape
from lmm_r1_mega.models.load import canonical_parameters
from lmm_r1_mega.models.qwen2_5_vl import Qwen2_5_VL


def freeze(model: Qwen2_5_VL, plan: WeightMapping, shape: ModelShape, patterns: tuple[str, ...]) -> None:
    """Stop the training of all parameters that `patterns` name.

    Raises: ValueError for patterns that cannot be kept to.
    """
    if problems := freeze_problems(shape, patterns):
        raise ValueError("\n".join(problems))
    frozen = frozen_parameters(plan, frozen_names(shape, patterns))
    for name, parameter in canonical_parameters(model).items():
        parameter.requires_grad_(name not in frozen)


def frozen_parameters(plan: WeightMapping, names: frozenset[str]) -> frozenset[str]:
    """Megatron names of the parameters that are made of tensors of these names."""
    return frozenset(transfer.megatron for transfer in plan.transfers if names.issuperset(transfer.hf))
