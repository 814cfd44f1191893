"""Log-probabilities of demonstrations by the Megatron engine, in any layout.

python tools/logprobs.py MODEL DATA --tp 2 --pp 2 --out FILE

Each row of DATA ends with an assistant turn. FILE gets a JSON line a row, in the order of the rows: `token_ids` (prompt with
expanded images, then the response), `logprobs` of the response's tokens at temperature 1, `response_start`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import torch
import tyro
from torch.multiprocessing import start_processes

from lmm_r1_mega.batching.balance import assign_microbatches
from lmm_r1_mega.batching.sharing import num_positions
from lmm_r1_mega.config import Config, DataSettings, LayoutSettings, ModelSettings, RolloutSettings
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.stream.build import Demonstration
from lmm_r1_mega.data.stream.files import DemonstrationFile
from lmm_r1_mega.families.registry import read_shape
from lmm_r1_mega.models.build import build_model
from lmm_r1_mega.planning.checks import find_problems
from lmm_r1_mega.planning.hardware import Hardware
from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable
from lmm_r1_mega.schema import Sequence, TokenStats
from lmm_r1_mega.training import parallel
from lmm_r1_mega.training.forward_pass import ForwardPass


def main(
    model: tyro.conf.Positional[Path],
    data: tyro.conf.Positional[Path],
    *,
    out: Path,
    tp: int = 1,
    pp: int = 1,
    max_tokens_per_microbatch: int = 4096,
) -> None:
    """Log-probabilities of demonstrations by the Megatron engine.

    Args:
        model: Hugging Face folder.
        data: File of rows with a final assistant turn.
        out: JSON Lines file to write.
        tp: Tensor-parallel size.
        pp: Pipeline-parallel size.
        max_tokens_per_microbatch: Token budget of a packed row.
    """
    config = Config(
        model=ModelSettings(path=model), layout=LayoutSettings(tensor=tp, pipeline=pp, max_tokens_per_microbatch=max_tokens_per_microbatch)
    )
    try:
        check_layout(config)
        sequences = read_demonstrations(model, data)
    except ValueError as error:
        print(f"logprobs: {error}", file=sys.stderr)
        sys.exit(2)
    with tempfile.TemporaryDirectory() as folder:
        arguments = (config, sequences, f"file://{folder}/rendezvous", out)
        start_processes(score, args=arguments, nprocs=config.layout.num_ranks, start_method="forkserver")  # one import for all ranks


def check_layout(config: Config) -> None:
    """Refuse a layout that does not divide the model, before any process starts."""
    alone = config.model_copy(update={"data": DataSettings(max_prompt_tokens=1), "rollout": RolloutSettings(max_response_tokens=1)})
    problems = find_problems(alone, read_shape(config.model.path), Hardware(gpu_gib=None))
    errors = [problem.message for problem in problems if problem.level == "error"]
    if errors:
        raise ValueError("; ".join(errors))


def read_demonstrations(model: Path, data: Path) -> list[Sequence]:
    """Every row of the file; a bad one is an error that names it."""
    make_torchvision_importable()
    settings = DataSettings(bad_rows="refuse", max_prompt_tokens=2**30)
    return [as_sequence(row) for row in DemonstrationFile(data, settings, Processor.load(model))]


def as_sequence(row: Demonstration) -> Sequence:
    """The tokens of a demonstration; its response is the final turn."""
    prompt = row.prompt
    return Sequence(torch.tensor([*prompt.expanded_ids, *row.response_ids]), len(prompt.expanded_ids), prompt.images)


def score(rank: int, config: Config, sequences: list[Sequence], rendezvous: str, out: Path) -> None:
    """One rank's part; the output rank writes `out`."""
    torch.set_num_threads(max((os.cpu_count() or 1) // config.layout.num_ranks, 1))
    make_torchvision_importable()
    parallel.initialize(config.layout, rank=rank, rendezvous=rendezvous)
    model = build_model(config.model.path, model=config.model, layout=config.layout, role="policy")
    lengths = [num_positions(sequence) for sequence in sequences]
    budget = max(config.layout.max_tokens_per_microbatch, *lengths)
    [rows] = assign_microbatches(lengths, lengths, budget=budget, num_ranks=1)
    stats = ForwardPass(model, config.model.path, config).logprobs([[sequences[i] for i in row] for row in rows], temperature=1.0)
    if stats is not None:
        scored = {index: one for row, found in zip(rows, stats, strict=True) for index, one in zip(row, found, strict=True)}
        out.write_text("".join(line(sequence, scored[i]) for i, sequence in enumerate(sequences)), encoding="utf-8")
    parallel.shutdown()


def line(sequence: Sequence, stats: TokenStats) -> str:
    """The row's JSON line."""
    fields = {
        "token_ids": sequence.token_ids.tolist(),
        "logprobs": stats.response_logprobs.tolist(),
        "response_start": sequence.prompt_length,
    }
    return json.dumps(fields) + "\n"


if __name__ == "__main__":
    tyro.cli(main)
