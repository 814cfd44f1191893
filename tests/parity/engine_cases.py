"""A small random model, rows for it, and what an engine makes of them: shared by the tests of the training engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from lmm_r1_mega.algorithms.losses import Clip, PolicyLoss
from lmm_r1_mega.algorithms.ratios import Importance
from lmm_r1_mega.algorithms.weights import token_weights
from lmm_r1_mega.batching.sharing import num_positions
from lmm_r1_mega.config import Config, LayoutSettings, ModelSettings, OptimizerSettings
from lmm_r1_mega.data.chat.vision_spec import VisionSpec
from lmm_r1_mega.schema import PolicyTarget, PromptImages, Sequence, SFTTarget, TokenStats, ValueTarget
from lmm_r1_mega.training import parallel
from lmm_r1_mega.training.engine import TrainEngine
from tools.make_tiny_model import TinyShape, make_tiny_model

EPS = 1e-4  # the first steps of AdamW are signs of the gradient; without this, rounding of the smallest elements would decide them
VOCAB = 300  # padded to 384 and 512 at tensor 1 and 2: every layout has padding to mask


def make_model(folder: Path, *, tied: bool = False) -> Path:
    """Write a random Qwen2.5-VL of 0.6M parameters in which no two tensors are alike: norms and biases are random too."""
    make_tiny_model(folder, TinyShape(layers=2, vocab=VOCAB, kv=2, vision_depth=2, vision_hidden=64, init_range=0.06, tied=tied))
    weights = load_file(folder / "model.safetensors")
    noise = torch.Generator().manual_seed(0)
    for tensor in weights.values():
        if tensor.dim() == 1:
            tensor += 0.1 * torch.randn(tensor.shape, generator=noise)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def make_sequences(model: Path, *, images: bool = True) -> list[Sequence]:
    """Seven sequences of unlike lengths; two of them with one and two images, the last two samples of one prompt."""
    generator = torch.Generator().manual_seed(1)
    spec = VisionSpec.load(model)
    shapes = [(17, 5, 0), (30, 12, 1 if images else 0), (9, 1, 0), (44, 20, 2 if images else 0), (2, 1, 0), (33, 7, 0)]
    sequences = [_sequence(tokens, prompt, count, spec, generator) for tokens, prompt, count in shapes]
    answer = torch.randint(10, 250, (19,), generator=generator)
    return [*sequences, Sequence(torch.cat([sequences[-1].token_ids[:7], answer]), 7, None)]


def _sequence(tokens: int, prompt: int, num_images: int, spec: VisionSpec, generator: torch.Generator) -> Sequence:
    ids = torch.randint(10, 250, (tokens,), generator=generator)
    if not num_images:
        return Sequence(ids, prompt, None)
    grids = torch.tensor([[1, 4, 4], [1, 4, 8]])[:num_images]
    image_ids = [torch.full((count,), spec.image_token_id) for count in spec.num_tokens(grids)]
    pieces = [
        piece
        for image in image_ids
        for piece in (torch.tensor([spec.vision_start_token_id]), image, torch.tensor([spec.vision_end_token_id]))
    ]
    images = torch.cat(pieces)
    patches = torch.randint(256, (int(grids.prod(dim=1).sum()), 3 * 14 * 14), generator=generator, dtype=torch.uint8)
    return Sequence(torch.cat([ids[:1], images, ids[1:]]), prompt + len(images), PromptImages(patches, grids))


@dataclass(frozen=True)
class Case:
    """A layout, how the samples are cut into rows, and settings that must not change the result."""

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    sequence_parallel: bool = True
    distributed_optimizer: bool = True
    recompute: str = "none"
    precision: str = "fp32"
    rows: tuple[tuple[int, ...], ...] = ((0, 1, 2), (3, 4), (5, 6))
    freeze: tuple[str, ...] = ()

    @property
    def num_ranks(self) -> int:
        return self.tensor * self.pipeline * self.data

    def config(self, model: Path) -> Config:
        layout = LayoutSettings(
            tensor=self.tensor, pipeline=self.pipeline, data=self.data, sequence_parallel=self.sequence_parallel,
            distributed_optimizer=self.distributed_optimizer,
        )  # fmt: skip
        return Config(
            model=ModelSettings(path=model, recompute=self.recompute, freeze=self.freeze, precision=self.precision),
            layout=layout,
            optimizer=OptimizerSettings(learning_rate=1e-3, weight_decay=0.1, grad_clip=0.5, schedule="cosine", warmup_steps=2, eps=EPS),
        )

    def own_rows(self) -> list[list[int]]:
        """Rows of this process: every `data`-th one, so that counts differ between ranks."""
        return [list(row) for row in self.rows[parallel.data_rank() :: self.data]]


POLICY_LOSS = PolicyLoss(
    Clip(0.2, 0.3, dual=3.0), temperature=0.8, importance=Importance(cap=2.0), kl_coefficient=0.05, entropy_coefficient=0.01
)  # fmt: skip

RESPONSE_LOSS = replace(POLICY_LOSS, name="gspo", importance=Importance("sequence", cap=2.0), kl_weighted=True)
"""Of the same parts, with ratios of whole responses."""


def policy_targets(sequences: list[Sequence]) -> list[PolicyTarget]:
    """Targets whose ratios are away from 1, some of them clipped."""
    generator = torch.Generator().manual_seed(2)
    lengths = torch.tensor([sequence.response_length for sequence in sequences])
    weights = token_weights(lengths, lengths != 8, "sequence", max_response_tokens=64)

    def random(length: int, scale: float) -> torch.Tensor:
        return torch.randn(length, generator=generator) * scale

    targets = []
    for sequence, weight in zip(sequences, weights, strict=True):
        length = sequence.response_length
        old = -5.5 + random(length, 0.5)
        targets.append(
            PolicyTarget(
                sequence,
                weight.expand(length).clone(),
                random(length, 1),
                old,
                old + random(length, 0.1),
                response_reference_logprobs=old + random(length, 0.2),
            )
        )
    return targets


def value_targets(sequences: list[Sequence]) -> list[ValueTarget]:
    """Returns and old values at random."""
    generator = torch.Generator().manual_seed(3)
    return [
        ValueTarget(
            s, torch.full((s.response_length,), 0.01), torch.randn(s.response_length, generator=generator), torch.zeros(s.response_length)
        )
        for s in sequences
    ]


def sft_targets(sequences: list[Sequence]) -> list[SFTTarget]:
    """Every response token weighs the same."""
    total = sum(sequence.response_length for sequence in sequences)
    return [SFTTarget(sequence, torch.full((sequence.response_length,), 1 / total)) for sequence in sequences]


def start_engine(model: Path, case: Case, *, role: str = "policy", total_steps: int = 8) -> TrainEngine:
    """An engine in this process's place of the case's layout."""
    parallel.form_groups(case.config(model).layout)
    return TrainEngine(model, role=role, config=case.config(model), total_steps=total_steps)


def ordered(case: Case, stats: list[list[TokenStats]] | None) -> dict[int, TokenStats]:
    """Results by the number of their sequence."""
    return {index: stat for row, found in zip(case.own_rows(), stats or [], strict=False) for index, stat in zip(row, found, strict=True)}


def total_places(sequences: list[Sequence]) -> int:
    return sum(num_positions(sequence) for sequence in sequences)
