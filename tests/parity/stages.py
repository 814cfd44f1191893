"""One rank's share of a run: megatron.core's own schedule over packed rows, with the logits and gradients laid open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from megatron.core import parallel_state, tensor_parallel
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads
from megatron.core.pipeline_parallel import get_forward_backward_func
from torch import Tensor

from lmm_r1_mega.config import LayoutSettings, ModelSettings
from lmm_r1_mega.convert.mapping import default_mapping
from lmm_r1_mega.families.shape import ModelShape
from lmm_r1_mega.models.build import build_model
from lmm_r1_mega.models.load import canonical_parameters
from lmm_r1_mega.schema import PackedBatch


@dataclass(frozen=True)
class StageResult:
    """What one rank saw: outputs of the last stage by row, gradients by canonical name."""

    tensor_rank: int
    outputs: list[Tensor]
    gradients: dict[str, Tensor]


def run_stage(
    path: Path, model: ModelSettings, layout: LayoutSettings, rows: list[PackedBatch], output_gradients: list[Tensor], role: str = "policy"
) -> StageResult:
    """Forward and backward of all rows as micro-batches; row i's loss is the inner product of its output and `output_gradients[i]`.

    Every place of a row is read, as if the whole of it were trained.
    """
    parallel_state.initialize_model_parallel(tensor_model_parallel_size=layout.tensor, pipeline_model_parallel_size=layout.pipeline)
    tensor_parallel.model_parallel_cuda_manual_seed(0)
    stage = build_model(path, model=model, layout=layout, role=role)
    stage.config.finalize_model_grads_func = finalize_model_grads
    stage.config.calculate_per_token_loss = True  # sums, no division by the number of micro-batches
    wrapped = DistributedDataParallel(stage.config, DistributedDataParallelConfig(grad_reduce_in_fp32=True), stage)
    whole = [replace(row, loss_mask=torch.ones_like(row.loss_mask)) for row in rows]
    outputs = _forward_backward(wrapped, whole, output_gradients)
    gradients = {
        name: parameter.main_grad.cpu().clone() for name, parameter in canonical_parameters(stage).items() if parameter.requires_grad
    }
    return StageResult(parallel_state.get_tensor_model_parallel_rank(), [output.float().cpu() for output in outputs], gradients)


def _forward_backward(wrapped: DistributedDataParallel, rows: list[PackedBatch], output_gradients: list[Tensor]) -> list[Tensor]:
    outputs: list[Tensor] = []
    gradients = iter(output_gradients)

    def inner_product(output: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        outputs.append(output.detach().clone())
        wanted = next(gradients).to(output.device)
        if output.dim() == 2:
            width, rank = output.shape[1], parallel_state.get_tensor_model_parallel_rank()
            wanted = torch.nn.functional.pad(wanted, (0, width * parallel_state.get_tensor_model_parallel_world_size() - wanted.shape[1]))
            wanted = wanted[:, rank * width : (rank + 1) * width]
        return (output * wanted).sum(), torch.tensor(0), {}

    def step(pending, stage):
        return stage(next(pending)), inner_product

    get_forward_backward_func()(
        forward_step_func=step,
        data_iterator=iter(rows),
        model=wrapped,
        num_microbatches=len(rows),
        seq_length=1,
        micro_batch_size=1,
        forward_only=False,
    )
    return outputs


def packed_logprobs(results: list[StageResult], rows: list[PackedBatch], vocab: int) -> list[torch.Tensor]:
    logits = [torch.cat(shards, dim=1)[:, :vocab] for shards in zip(*last_stage(results), strict=True)]
    return [part.log_softmax(-1).gather(1, row.labels[:, None])[:, 0] for part, row in zip(logits, rows, strict=True)]


def last_stage(results: list[StageResult]) -> list[list[torch.Tensor]]:
    """Outputs of the last pipeline stage, by tensor-parallel rank."""
    return [result.outputs for result in sorted(results, key=lambda result: result.tensor_rank) if result.outputs]


def hf_gradients(results: list[StageResult], shape: ModelShape, padded: int) -> dict[str, torch.Tensor]:
    """Gradients of all ranks, put together and mapped back to Hugging Face names; copies must agree bit by bit."""
    found = {}
    for transfer in default_mapping(shape, padded_vocab=padded).transfers:
        copies = [(result.tensor_rank, result.gradients[transfer.megatron]) for result in results if transfer.megatron in result.gradients]
        shards = dict(copies)
        for rank, copy in copies:
            assert torch.equal(copy, shards[rank if transfer.rule.split_dim is not None else 0]), transfer.megatron
        whole = transfer.rule.unshard([shards[rank] for rank in sorted(shards)])
        found |= dict(zip(transfer.hf, transfer.rule.to_hf(whole), strict=True))
    return found


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def row_gradients(parts: list[torch.Tensor], rows: list[PackedBatch]) -> list[torch.Tensor]:
    """Output gradients of the rows: zero at the places that fill a row up."""
    return [torch.nn.functional.pad(part, (0, 0, 0, len(row.labels) - len(part))) for part, row in zip(parts, rows, strict=True)]
