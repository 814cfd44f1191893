"""The split vocabulary against the whole one, on real ranks; one of them holds padding only."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from spawn import spawn

from lmm_r1_mega.training.vocab_parallel import VocabShard, token_scores, vocab_shard

VOCAB, WIDTH = 20, 12


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 3 * WIDTH, generator=generator)
    places = torch.tensor([0, 2, 3, 8])
    return logits, torch.randint(0, VOCAB, (4,), generator=generator), places, torch.randn(2, 4, generator=generator)


def results(logits: torch.Tensor, shard: VocabShard) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    _, labels, places, upstream = inputs()
    logits = logits.clone().requires_grad_()
    scores = token_scores(logits[places], labels, shard=shard, temperature=0.7)
    (upstream[0] * scores.logprobs + upstream[1] * scores.entropy).sum().backward()
    return scores.logprobs.detach(), scores.entropy.detach(), logits.grad


def on_a_rank() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rank = dist.get_rank()
    shard = vocab_shard(rank=rank, width=WIDTH, vocab_size=VOCAB, group=dist.group.WORLD)
    return results(inputs()[0][:, rank * WIDTH : (rank + 1) * WIDTH], shard)


def test_three_shards_equal_the_whole() -> None:
    expected = results(inputs()[0], VocabShard(start=0, size=VOCAB, group=None))
    shards = spawn(on_a_rank, 3)
    for logprobs, entropy, _ in shards:
        torch.testing.assert_close(logprobs, expected[0])
        torch.testing.assert_close(entropy, expected[1])
    torch.testing.assert_close(torch.cat([gradient for *_, gradient in shards], dim=1), expected[2])
    assert not shards[2][2].any()
    assert expected[2].abs().sum().item() == pytest.approx(sum(gradient.abs().sum().item() for *_, gradient in shards), rel=1e-5)
