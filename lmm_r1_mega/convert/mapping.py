"""Which Hugging Face tensors become which Megatron parameter: a mapping that uses every name exactly once, or fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lmm_r1_mega.convert.rules import Copy, WeightRule, rule_of
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.families.registry import hf_tensors
from lmm_r1_mega.families.shape import ModelShape
from lmm_r1_mega.families.weights import LONG_PREFIXES, TOWER, decoder_rows, long_name


@dataclass(frozen=True)
class Transfer:
    """One Megatron parameter, the Hugging Face tensors (short names) it is made of, and the rule between them."""

    megatron: str
    hf: tuple[str, ...]
    rule: WeightRule


@dataclass(frozen=True)
class WeightMapping:
    """All transfers between a checkpoint and a model, in the order of the forward pass."""

    transfers: tuple[Transfer, ...]
    long_names: bool
    """Whether the checkpoint writes `model.visual.*`, `model.language_model.*` instead of `visual.*`, `model.*`."""

    def by_megatron(self) -> dict[str, Transfer]:
        """Transfers by the name of their Megatron parameter."""
        return {transfer.megatron: transfer for transfer in self.transfers}

    def source_name(self, short: str) -> str:
        """The checkpoint's own spelling of a short Hugging Face name."""
        return long_name(short) if self.long_names else short


def make_mapping(found: Mapping[str, tuple[int, ...]], shape: ModelShape, *, padded_vocab: int) -> WeightMapping:
    """Mapping for a checkpoint with the tensors `found` (name to shape, either layout of names).

    Raises: `BadData` with the lists if a tensor is missing, unknown or of another shape than `shape` says.
    """
    long_names = any(name.startswith(longer) for name in found for longer in LONG_PREFIXES.values())
    expected = hf_tensors(shape)
    _check(found, expected, long_names=long_names)
    transfers = [Transfer(name, (name,), Copy()) for name in expected if name.startswith(TOWER)]
    for row in decoder_rows(shape):
        rule = rule_of(row, shape, padded_vocab=padded_vocab)
        for layer in range(shape.num_layers) if "{layer}" in row.megatron else range(1):
            names = tuple(name.format(layer=layer) for name in row.hf)
            transfers.append(Transfer(row.megatron.format(layer=layer), names, rule))
    _check_used_once([name for transfer in transfers for name in transfer.hf], expected)
    order = {name: index for index, name in enumerate(expected)}
    return WeightMapping(tuple(sorted(transfers, key=lambda transfer: order[transfer.hf[0]])), long_names)


def default_mapping(shape: ModelShape, *, padded_vocab: int, long_names: bool = False) -> WeightMapping:
    """Mapping for a complete checkpoint of `shape` that need not be present."""
    expected = hf_tensors(shape)
    names = {long_name(name) if long_names else name: dims for name, dims in expected.items()}
    return make_mapping(names, shape, padded_vocab=padded_vocab)


def _check(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]], *, long_names: bool) -> None:
    spelling = {long_name(name) if long_names else name: name for name in expected}
    problems = [f"missing {name}" for name in spelling if name not in found]
    problems += [f"unknown {name}" for name in found if name not in spelling]
    problems += [
        f"{name} has shape {list(dims)}, config.json says {list(expected[spelling[name]])}"
        for name, dims in found.items()
        if name in spelling and tuple(dims) != expected[spelling[name]]
    ]
    if problems:
        raise BadData(f"the checkpoint's tensors do not fit its config.json:\n{_listed(problems)}")


def _check_used_once(used: Iterable[str], expected: Iterable[str]) -> None:
    used = list(used)
    problems = [f"no rule for {name}" for name in expected if name not in set(used)]
    problems += [f"two rules for {name}" for name in sorted({name for name in used if used.count(name) > 1})]
    problems += [f"a rule for unknown {name}" for name in used if name not in set(expected)]
    if problems:
        raise ValueError(f"the conversion table is wrong:\n{_listed(problems)}")


def _listed(problems: list[str], *, limit: int = 40) -> str:
    rest = [f"... and {len(problems) - limit} more"] if len(problems) > limit else []
    return "\n".join(f"  {problem}" for problem in problems[:limit] + rest)
