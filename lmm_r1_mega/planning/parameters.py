"""How many parameters each rank holds, from the names and shapes of the checkpoint's tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from lmm_r1_mega.config import LayoutSettings, ModelSettings
from lmm_r1_mega.convert.freeze import frozen_names
from lmm_r1_mega.families.registry import hf_tensors
from lmm_r1_mega.families.shape import ModelShape
from lmm_r1_mega.families.weights import HF_EMBEDDING, HF_FINAL_NORM, HF_LAYERS, HF_OUTPUT, TOWER, decoder_rows


@dataclass(frozen=True)
class RankParameters:
    """Parameters of one rank."""

    trained: int
    frozen: int
    matrices: int
    """Weights of the decoder's linear layers, trained or not: those that fp8 computes with."""

    @property
    def total(self) -> int:
        """All parameters of the rank."""
        return self.trained + self.frozen


@dataclass(frozen=True)
class _Tensor:
    """A parameter as the ranks of one stage see it."""

    stage: int
    size: int
    is_split: bool
    is_matrix: bool
    is_frozen: bool


@lru_cache
def num_parameters(shape: ModelShape) -> int:
    """Parameters of the whole checkpoint; a tied output layer counts once."""
    return sum(math.prod(dims) for dims in hf_tensors(shape).values())


def num_vision_parameters(shape: ModelShape) -> int:
    """Parameters of the vision tower."""
    return sum(math.prod(dims) for name, dims in hf_tensors(shape).items() if name.startswith(TOWER))


def policy_ranks(shape: ModelShape, *, model: ModelSettings, layout: LayoutSettings) -> tuple[RankParameters, ...]:
    """Parameters of a rank of each pipeline stage of the policy.

    The tower and the norms are whole on every tensor-parallel rank, all else is split; a tied embedding has a copy on the last
    stage where that is not the first.
    """
    return _policy_ranks(_Split(shape, model.freeze, model.vocab_padding_multiple, layout.tensor, layout.pipeline))


def critic_ranks(shape: ModelShape, *, model: ModelSettings, layout: LayoutSettings) -> tuple[RankParameters, ...]:
    """Parameters of a rank of each pipeline stage of the critic: a value head of one row in place of the output layer."""
    return _critic_ranks(_Split(shape, model.freeze, model.vocab_padding_multiple, layout.tensor, layout.pipeline))


@dataclass(frozen=True)
class _Split:
    """All that the parameters of a rank depend on; the key under which the counts are kept, for `advice` asks often."""

    shape: ModelShape
    freeze: tuple[str, ...]
    vocab_padding_multiple: int
    tensor: int
    pipeline: int


@lru_cache
def _policy_ranks(split: _Split) -> tuple[RankParameters, ...]:
    tensors = _tensors(split)
    if split.shape.tied and split.pipeline > 1:
        tensors["tied copy"] = replace(tensors[HF_EMBEDDING], stage=split.pipeline - 1)
    return _count(tensors, split)


@lru_cache
def _critic_ranks(split: _Split) -> tuple[RankParameters, ...]:
    tensors = _tensors(split)
    tensors.pop(HF_OUTPUT, None)
    tensors["value head"] = _Tensor(split.pipeline - 1, split.shape.hidden_size, is_split=False, is_matrix=False, is_frozen=False)
    return _count(tensors, split)


def _tensors(split: _Split) -> dict[str, _Tensor]:
    """All tensors of the checkpoint, placed."""
    shape = split.shape
    padded = shape.padded_vocab(multiple=split.vocab_padding_multiple, tensor=split.tensor)
    frozen = frozen_names(shape, split.freeze)
    split_names = _split_names(shape)
    tensors = {}
    for name, dims in hf_tensors(shape).items():
        tensors[name] = _Tensor(
            stage=_stage_of(name, shape, split.pipeline),
            size=padded * shape.hidden_size if name in (HF_EMBEDDING, HF_OUTPUT) else math.prod(dims),
            is_split=name in split_names,
            is_matrix=name.startswith(HF_LAYERS) and len(dims) > 1,
            is_frozen=name in frozen,
        )
    return tensors


def _split_names(shape: ModelShape) -> frozenset[str]:
    """Tensors that tensor-parallel ranks split."""
    names = (name for row in decoder_rows(shape) if row.split_dim is not None for name in row.hf)
    return frozenset(name.format(layer=layer) for name in names for layer in range(shape.num_layers))


def _stage_of(name: str, shape: ModelShape, pipeline: int) -> int:
    if name in (HF_OUTPUT, HF_FINAL_NORM):
        return pipeline - 1
    if not name.startswith(HF_LAYERS):
        return 0
    return int(name.removeprefix(HF_LAYERS).split(".")[0]) * pipeline // shape.num_layers


def _count(tensors: dict[str, _Tensor], split: _Split) -> tuple[RankParameters, ...]:
    """Sum the tensors of each stage as one of its tensor-parallel ranks holds them."""
    stages = []
    for stage in range(split.pipeline):
        held = [(one, one.size // split.tensor if one.is_split else one.size) for one in tensors.values() if one.stage == stage]
        trained = sum(size for one, size in held if not one.is_frozen)
        frozen = sum(size for one, size in held if one.is_frozen)
        stages.append(RankParameters(trained, frozen, matrices=sum(size for one, size in held if one.is_matrix)))
    return tuple(stages)
