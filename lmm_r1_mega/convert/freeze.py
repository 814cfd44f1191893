"""What `model.freeze` names: one rule for the plan and for the trainer, over the names of the checkpoint's tensors."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

from lmm_r1_mega.families.registry import hf_tensors
from lmm_r1_mega.families.shape import ModelShape
from lmm_r1_mega.families.weights import HF_LAYERS, QKV_BIASES, QKV_WEIGHTS, decoder_rows, long_name


@lru_cache
def frozen_names(shape: ModelShape, patterns: tuple[str, ...]) -> frozenset[str]:
    """Tensors (short names) that a pattern matches, in either layout of names."""
    return frozenset(name for name in hf_tensors(shape) for pattern in patterns if _matches(name, pattern))


def freeze_problems(shape: ModelShape, patterns: tuple[str, ...]) -> list[str]:
    """Why the patterns cannot be kept to, each with the way out; empty where they can."""
    return [*_unmatched(shape, patterns), *_parts(shape, frozen_names(shape, patterns))]


def _unmatched(shape: ModelShape, patterns: tuple[str, ...]) -> Iterator[str]:
    names = list(hf_tensors(shape))
    for pattern in patterns:
        if not frozen_names(shape, (pattern,)):
            nearest = difflib.get_close_matches(pattern, names, n=1, cutoff=0)[0]
            yield f"model.freeze {pattern!r} matches no parameter: the nearest name is {nearest}"


def _parts(shape: ModelShape, frozen: frozenset[str]) -> Iterator[str]:
    """Parameters that would be frozen in part, and biases that would silently get no gradient, one line each kind."""
    for row in decoder_rows(shape):
        names = [name.removeprefix(HF_LAYERS + "{layer}.") for name in row.hf]
        if len(names) > 1:
            yield from _unfrozen(shape, frozen, names, names, "Megatron keeps {} as one parameter")
    if shape.has_qkv_bias:  # megatron.core's linear layer with a frozen weight computes no gradient of its bias
        yield from _unfrozen(shape, frozen, QKV_WEIGHTS, QKV_BIASES, "{} without their biases, which would get no gradient")


def _unfrozen(shape: ModelShape, frozen: frozenset[str], named: Sequence[str], also: Sequence[str], why: str) -> Iterator[str]:
    """A line where a layer has one of `named` frozen but not all of `also`."""
    for layer in range(shape.num_layers):
        prefix = f"{HF_LAYERS}{layer}."
        missing = [name for name in also if prefix + name not in frozen]
        if missing and any(prefix + name in frozen for name in named):
            patterns = " ".join(f"'*.{name.removeprefix('self_attn.').removeprefix('mlp.')}'" for name in missing)
            yield f"model.freeze names a part of layer {layer}: {why.format(', '.join(named))}: name {patterns} too"
            return


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(long_name(name), pattern)
