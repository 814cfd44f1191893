"""Log-probabilities and entropy against torch's log_softmax over the whole vocabulary."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes

from lmm_r1_mega.training import vocab_parallel
from lmm_r1_mega.training.vocab_parallel import VocabShard, token_scores, vocab_shard

WHOLE = VocabShard(start=0, size=37, group=None)


def oracle(logits: torch.Tensor, labels: torch.Tensor, places: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    log_p = torch.log_softmax(logits[places, :37].double() / temperature, dim=1)
    return log_p.gather(1, labels[:, None]).squeeze(1), -(log_p.exp() * log_p).sum(dim=1)


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits [50, 40] of which 37 columns are real and the padding is larger than any of them."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 40, generator=generator) * 3
    logits[:, 37:] = 100.0
    places = torch.randperm(50, generator=generator)[:31].sort().values
    return logits, torch.randint(0, 37, (31,), generator=generator), places


@pytest.mark.parametrize("chunk_elements", [1, 37 * 4, 2**20], ids=["a token", "four tokens", "all"])
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_equals_log_softmax(case: tuple, monkeypatch: pytest.MonkeyPatch, chunk_elements: int, temperature: float) -> None:
    monkeypatch.setattr(vocab_parallel, "CHUNK_ELEMENTS", {"cpu": chunk_elements})
    logits, labels, places = case
    expected_logits = logits.clone().requires_grad_()
    expected = oracle(expected_logits, labels, places, temperature)
    logits.requires_grad_()
    scores = token_scores(logits[places], labels, shard=WHOLE, temperature=temperature)
    torch.testing.assert_close(scores.logprobs.double(), expected[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(scores.entropy.double(), expected[1], rtol=1e-6, atol=1e-6)
    upstream = torch.randn(2, len(labels), generator=torch.Generator().manual_seed(1))
    (upstream[0] * scores.logprobs + upstream[1] * scores.entropy).sum().backward()
    (upstream[0] * expected[0] + upstream[1] * expected[1]).sum().backward()
    torch.testing.assert_close(logits.grad, expected_logits.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("used", [0, 1], ids=["logprobs", "entropy"])
def test_gradient_of_one_result_alone(case: tuple, used: int) -> None:
    logits, labels, places = case
    expected_logits = logits.clone().requires_grad_()
    logits.requires_grad_()
    token_scores(logits[places], labels, shard=WHOLE, temperature=1.0)[used].sum().backward()
    oracle(expected_logits, labels, places, 1.0)[used].sum().backward()
    torch.testing.assert_close(logits.grad, expected_logits.grad, rtol=1e-5, atol=1e-6)


def test_huge_logits_stay_finite() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    scores = token_scores(logits, torch.tensor([0]), shard=VocabShard(0, 3, None), temperature=1.0)
    assert scores.logprobs.item() == 0.0 and scores.entropy.item() == 0.0
    scores.entropy.sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_no_token_at_all() -> None:
    logits = torch.randn(4, 37, requires_grad=True)
    nothing = torch.zeros(0, dtype=torch.long)
    scores = token_scores(logits[nothing], nothing, shard=WHOLE, temperature=1.0)
    scores.logprobs.sum().backward()
    assert len(scores.logprobs) == 0 and not logits.grad.any()


@pytest.mark.parametrize(("rank", "start", "size"), [(0, 0, 128), (1, 128, 72), (2, 256, 0)])
def test_padding_is_cut_from_the_last_shards(rank: int, start: int, size: int) -> None:
    assert vocab_shard(rank=rank, width=128, vocab_size=200, group=None) == VocabShard(start, size, None)


def test_forbidden_tokens_are_no_part_of_the_distribution(case: tuple) -> None:
    logits, labels, places = case
    labels = labels.clamp(min=2)
    shard = vocab_shard(rank=0, width=40, vocab_size=37, group=None, forbidden_ids=(0, 1, 39))
    assert shard.forbidden == (0, 1)
    without = logits.clone()
    without[:, :2] = -torch.inf
    expected_logits = without[:, 2:].clone().requires_grad_()
    expected = torch.log_softmax(expected_logits[places, :35], dim=1)
    logits.requires_grad_()
    scores = token_scores(logits[places], labels, shard=shard, temperature=1.0)
    torch.testing.assert_close(scores.logprobs, expected.gather(1, labels[:, None] - 2).squeeze(1))
    torch.testing.assert_close(scores.entropy, -(expected.exp() * expected).sum(dim=1))
    (scores.logprobs.sum() + scores.entropy.sum()).backward()
    (expected.gather(1, labels[:, None] - 2).sum() - (expected.exp() * expected).sum()).backward()
    torch.testing.assert_close(logits.grad[:, 2:], expected_logits.grad)
    assert not logits.grad[:, :2].any()


def score_on_rank(rank: int, meeting: str, found: str) -> None:
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    logits = torch.randn(3000, 768, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, 512, (3000,), generator=torch.Generator().manual_seed(1))
    shard = vocab_shard(rank=rank, width=384, vocab_size=512, group=dist.group.WORLD)
    scores = token_scores(logits[:, rank * 384 : (rank + 1) * 384], labels, shard=shard, temperature=1.0)
    expected = torch.log_softmax(logits[:, :512], dim=1).gather(1, labels[:, None]).squeeze(1)
    torch.testing.assert_close(scores.logprobs, expected)
    Path(found, str(rank)).touch()
    dist.destroy_process_group()


def test_ranks_with_different_padding_reduce_the_same_chunks(tmp_path: Path) -> None:
    """72B at tensor 8: the last rank has 18560 words, the others 19072."""
    (tmp_path / "found").mkdir()
    processes.spawn(score_on_rank, args=(f"file://{tmp_path}/meeting", f"{tmp_path}/found"), nprocs=2)
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == ["0", "1"]
