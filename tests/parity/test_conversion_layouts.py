"""Weights through every layout and back, bit by bit, and Megatron's own reader and writer against ours."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from megatron.core import dist_checkpointing, parallel_state, tensor_parallel
from megatron.core.dist_checkpointing.strategies.torch import TorchDistSaveShardedStrategy
from safetensors.torch import load_file
from spawn import spawn

from lmm_r1_mega.config import LayoutSettings, ModelSettings
from lmm_r1_mega.convert.checkpoints import compare, hf_to_megatron, megatron_to_hf
from lmm_r1_mega.convert.mapping import default_mapping
from lmm_r1_mega.families.registry import read_shape
from lmm_r1_mega.models.build import build_model
from lmm_r1_mega.models.load import canonical_parameters, load_megatron_weights
from tools.make_tiny_model import TinyShape, make_tiny_model

LAYOUTS = [(1, 1), (2, 1), (1, 2), (2, 2)]


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def source(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    make_tiny_model(folder, TinyShape(hidden=64, layers=4, vocab=500, kv=1, vision_depth=2, vision_hidden=64, tied=request.param))
    return folder


def through_stage(
    source: Path, converted: Path, layout: LayoutSettings, saved: Path | None
) -> tuple[int, dict[str, torch.Tensor], list[str]]:
    """This rank's weights from the Hugging Face folder, and the names of those that the Megatron checkpoint fills otherwise."""
    parallel_state.initialize_model_parallel(tensor_model_parallel_size=layout.tensor, pipeline_model_parallel_size=layout.pipeline)
    tensor_parallel.model_parallel_cuda_manual_seed(0)
    stage = build_model(source, model=ModelSettings(), layout=layout, role="policy")
    weights = {name: parameter.detach().clone() for name, parameter in canonical_parameters(stage).items()}
    if saved is not None:
        _save(stage, saved)
    for parameter in stage.parameters():
        parameter.data.fill_(7)
    load_megatron_weights(stage, converted)
    different = [name for name, parameter in canonical_parameters(stage).items() if not torch.equal(parameter, weights[name])]
    return parallel_state.get_tensor_model_parallel_rank(), weights, different


def _save(stage: torch.nn.Module, folder: Path) -> None:
    metadata = {"dp_cp_group": parallel_state.get_data_parallel_group(with_context_parallel=True)}
    if torch.distributed.get_rank() == 0:
        folder.mkdir()
    torch.distributed.barrier()
    strategy = TorchDistSaveShardedStrategy("torch_dist", 1, thread_count=1)
    dist_checkpointing.save(stage.sharded_state_dict(metadata=metadata), str(folder), sharded_strategy=strategy)


@pytest.mark.parametrize("tensor, pipeline", LAYOUTS)
def test_weights_survive_every_layout(source, tmp_path, tensor, pipeline):
    hf_to_megatron(source, tmp_path / "converted")
    layout = LayoutSettings(tensor=tensor, pipeline=pipeline)
    saved = tmp_path / "saved" if tensor * pipeline == 4 and not read_shape(source).tied else None
    ranks = spawn(through_stage, layout.num_ranks, source, tmp_path / "converted", layout, saved)

    assert all(different == [] for _, _, different in ranks)
    shape = read_shape(source)
    found = {}
    for transfer in default_mapping(shape, padded_vocab=shape.padded_vocab(multiple=128, tensor=tensor)).transfers:
        shards = {rank: weights[transfer.megatron] for rank, weights, _ in ranks if transfer.megatron in weights}
        whole = transfer.rule.unshard([shards[rank] for rank in sorted(shards)])
        found |= dict(zip(transfer.hf, transfer.rule.to_hf(whole), strict=True))
    wanted = load_file(source / "model.safetensors")
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())

    if saved is not None:  # what Megatron's own writer stored
        assert compare(source, saved).different == ()
        megatron_to_hf(saved, tmp_path / "hf", source=source)
        assert {path.name: path.read_bytes() for path in (tmp_path / "hf").iterdir()} == {p.name: p.read_bytes() for p in source.iterdir()}
