"""Which parameters are not trained: patterns over Hugging Face names, resolved before training."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from lmm_r1_mega.convert.plan import Plan
from lmm_r1_mega.models.load import canonical_parameters
from lmm_r1_mega.models.qwen2_5_vl import Qwen2_5_VL


def freeze(model: Qwen2_5_VL, plan: Plan, patterns: Sequence[str]) -> None:
    """Stop the training of all parameters that `patterns` name; see `frozen_parameters`."""
    frozen = frozen_parameters(plan, patterns)
    for name, parameter in canonical_parameters(model).items():
        parameter.requires_grad_(name not in frozen)


def frozen_parameters(plan: Plan, patterns: Sequence[str]) -> frozenset[str]:
    """Megatron names of the parameters whose Hugging Face names, short or as in the checkpoint, match a pattern.

    Raises `ValueError` for a pattern that matches nothing, and for one that names a part of a parameter that Megatron keeps in
    one piece (query without key and value).
    """
    matched: set[str] = set()
    for pattern in patterns:
        hits = {name for name in _names(plan) if _matches(name, pattern, plan)}
        if not hits:
            raise ValueError(f"model.freeze {pattern!r} matches no parameter; {_closest(pattern, plan)}")
        matched |= hits
    frozen = set()
    for transfer in plan.transfers:
        left = [name for name in transfer.hf if name not in matched]
        if len(left) < len(transfer.hf):
            if left:
                raise ValueError(f"model.freeze names a part of {transfer.megatron}, which is one piece: name {', '.join(left)} too")
            frozen.add(transfer.megatron)
    return frozenset(frozen)


def _names(plan: Plan) -> list[str]:
    return [name for transfer in plan.transfers for name in transfer.hf]


def _matches(name: str, pattern: str, plan: Plan) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(plan.source_name(name), pattern)


def _closest(pattern: str, plan: Plan) -> str:
    names = [plan.source_name(name) for name in _names(plan)]
    close = difflib.get_close_matches(pattern, names, n=3, cutoff=0.3) or names[:3]
    return f"the closest names are {', '.join(close)}"
