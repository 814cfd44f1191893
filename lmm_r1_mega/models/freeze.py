"""Which parameters are not trained."""

from __future__ import annotations

from lmm_r1_mega.convert.freeze import freeze_problems, frozen_names
from lmm_r1_mega.convert.mapping import WeightMapping
from lmm_r1_mega.families.shape import ModelShape
from lmm_r1_mega.models.load import canonical_parameters
from lmm_r1_mega.models.vision_language import VisionLanguageModel


def freeze(model: VisionLanguageModel, mapping: WeightMapping, shape: ModelShape, patterns: tuple[str, ...]) -> None:
    """Stop the training of all parameters that `patterns` name.

    Raises: ValueError for patterns that cannot be kept to.
    """
    if problems := freeze_problems(shape, patterns):
        raise ValueError("\n".join(problems))
    frozen = frozen_parameters(mapping, frozen_names(shape, patterns))
    for name, parameter in canonical_parameters(model).items():
        parameter.requires_grad_(name not in frozen)


def frozen_parameters(mapping: WeightMapping, names: frozenset[str]) -> frozenset[str]:
    """Megatron names of the parameters that are made of tensors of these names."""
    return frozenset(transfer.megatron for transfer in mapping.transfers if names.issuperset(transfer.hf))
