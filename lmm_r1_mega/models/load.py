"""Fills this rank's model from a Hugging Face folder, and names its parameters as checkpoints do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from megatron.core import dist_checkpointing, parallel_state
from torch.distributed.checkpoint.api import CheckpointException
from torch.nn import Parameter

from lmm_r1_mega.convert.hf_folder import HFReader
from lmm_r1_mega.convert.mapping import Transfer, WeightMapping, make_mapping
from lmm_r1_mega.convert.megatron_folder import MegatronReader
from lmm_r1_mega.families.weights import EMBEDDING, OUTPUT
from lmm_r1_mega.models.vision_language import VisionLanguageModel

_FUSED_NORMS = {
    "input_layernorm.weight": "self_attention.linear_qkv.layer_norm_weight",
    "pre_mlp_layernorm.weight": "mlp.linear_fc1.layer_norm_weight",
}
_LAYER = re.compile(r"decoder\.layers\.(\d+)\.(.*)")
_WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""Environment variable: torch.load then refuses objects with code even where its caller allows them."""


def canonical_parameters(model: VisionLanguageModel) -> dict[str, Parameter]:
    """Parameters of this rank by their names in the whole model, the same for every layout and layer spec.

    The copy of tied embeddings on the last pipeline stage goes by the embedding's name.
    """
    return {_canonical(name, model): parameter for name, parameter in model.named_parameters()}


def _canonical(name: str, model: VisionLanguageModel) -> str:
    if name == OUTPUT and model.share_embeddings_and_output_weights:
        return EMBEDDING
    match = _LAYER.fullmatch(name)
    if match is None:
        return name
    number = model.decoder.layers[int(match[1])].layer_number - 1
    return f"decoder.layers.{number}.{_FUSED_NORMS.get(match[2], match[2])}"


def mapping_of(hf: HFReader, model: VisionLanguageModel) -> WeightMapping:
    """Mapping between a Hugging Face folder and this model."""
    return make_mapping(hf.contents.shapes(), model.shape, padded_vocab=model.vocab_size)


def load_hf_weights(model: VisionLanguageModel, hf_path: Path, *, fresh: frozenset[str] = frozenset()) -> None:
    """Fill every parameter of this rank from the folder and mark it as split or replicated over tensor-parallel ranks.

    `fresh` are canonical names that the folder has no weights for, a value head for example. Raises `ValueError` with the
    list where a parameter has no rule.
    """
    parameters = {name: parameter for name, parameter in canonical_parameters(model).items() if name not in fresh}
    with HFReader(hf_path) as hf:
        mapping = mapping_of(hf, model)
        transfers = mapping.by_megatron()
        unknown = sorted(set(parameters) - set(transfers))
        if unknown:
            raise ValueError(f"no rule of the conversion table fills {unknown}: {hf_path} is of another model family")
        for name, parameter in parameters.items():
            _fill(parameter, transfers[name], (hf.tensor(mapping.source_name(part)) for part in transfers[name].hf))


def load_megatron_weights(model: VisionLanguageModel, folder: Path) -> None:
    """Fill this rank's model from a Megatron checkpoint, converted or saved in training at any layout; collective over all ranks."""
    metadata = {"dp_cp_group": parallel_state.get_data_parallel_group(with_context_parallel=True)}
    wanted = model.sharded_state_dict(metadata=metadata)
    model.load_state_dict(load_sharded(wanted, folder))


def load_sharded(wanted: dict[str, Any], folder: Path) -> dict[str, Any]:
    """megatron.core's `dist_checkpointing.load` from a folder that need not be trusted; collective.

    Raises: ValueError where the folder is no complete checkpoint of this model, or holds objects that would run code.
    """
    MegatronReader(folder)  # refuses an index with code in it, which megatron.core would run
    try:
        with _without_code():
            return dist_checkpointing.load(wanted, str(folder))
    except CheckpointException as failure:  # no Exception: it would pass by everyone who waits for one
        raise ValueError(f"the checkpoint {folder} cannot be loaded: {failure}") from failure


@contextmanager
def _without_code() -> Iterator[None]:
    before = os.environ.get(_WEIGHTS_ONLY)
    os.environ[_WEIGHTS_ONLY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_WEIGHTS_ONLY]
        else:
            os.environ[_WEIGHTS_ONLY] = before


@torch.no_grad()
def _fill(parameter: Parameter, transfer: Transfer, parts: Iterable[torch.Tensor]) -> None:
    rank, size = parallel_state.get_tensor_model_parallel_rank(), parallel_state.get_tensor_model_parallel_world_size()
    shard = transfer.rule.shard(transfer.rule.to_megatron(list(parts)), rank=rank, size=size)
    if shard.shape != parameter.shape:
        raise ValueError(f"{transfer.megatron} has shape {list(parameter.shape)} on this rank, the checkpoint gives {list(shard.shape)}")
    parameter.copy_(shard)
    parameter.tensor_model_parallel = transfer.rule.split_dim is not None  # megatron.core's gradient norm counts by this mark
