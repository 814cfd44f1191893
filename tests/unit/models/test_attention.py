"""Packed attention against plain attention on each sequence alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lmm_r1_mega.models.attention import PackedAttention, describe_packing, group_by_length

HOST = torch.device("cpu")
NOTHING = torch.tensor([0, 0])


def alone(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Causal softmax attention of one sequence, written out."""
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    scores = torch.einsum("qhd,khd->hqk", query, key) / query.shape[-1] ** 0.5
    scores = scores.masked_fill(torch.ones_like(scores[0]).triu(1).bool(), float("-inf"))
    return torch.einsum("hqk,khd->qhd", scores.softmax(-1), value).flatten(1)


@pytest.mark.parametrize("lengths", [[7], [1, 1, 1], [3, 90, 5, 41, 60, 1], [200, 199, 30]])
@pytest.mark.parametrize("groups", [4, 2, 1])
def test_every_sequence_is_as_if_alone(lengths, groups):
    starts = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()], dtype=torch.int32)
    noise = torch.Generator().manual_seed(0)
    parts = [torch.randn(sum(lengths), heads, 8, generator=noise, dtype=torch.float64, requires_grad=True) for heads in (4, groups, groups)]
    weight = torch.randn(sum(lengths), 32, generator=noise, dtype=torch.float64)

    wanted = torch.cat([alone(*sequence) for sequence in zip(*(part.split(lengths) for part in parts), strict=True)])
    wanted_gradients = torch.autograd.grad((wanted * weight).sum(), parts)
    attention = PackedAttention(SimpleNamespace(softmax_scale=None))
    found = attention(
        *(part[:, None] for part in parts), None, packed_seq_params=describe_packing(starts, NOTHING.expand(len(lengths), 2), HOST)
    )[:, 0]
    gradients = torch.autograd.grad((found * weight).sum(), parts)

    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    for gradient, target in zip(gradients, wanted_gradients, strict=True):
        torch.testing.assert_close(gradient, target, rtol=0, atol=1e-12)


@pytest.mark.parametrize("plan", ["padding", "whole"])
def test_a_borrowed_prompt_is_as_if_each_sequence_had_its_own(plan):
    """Row: 5 places of a sequence, 3 that borrow the first 4 of them, 2 of another sequence, 6 that borrow the first 4 again."""
    row = describe_packing(torch.tensor([0, 5, 8, 10, 16]), torch.tensor([[0, 0], [0, 4], [0, 0], [0, 4]]), HOST)
    places = [[0, 1, 2, 3, 4], [0, 1, 2, 3, 5, 6, 7], [8, 9], [0, 1, 2, 3, 10, 11, 12, 13, 14, 15]]
    own = [places[0], places[1][4:], places[2], places[3][4:]]
    noise = torch.Generator().manual_seed(0)
    parts = [torch.randn(16, heads, 8, generator=noise, dtype=torch.float64, requires_grad=True) for heads in (4, 2, 2)]
    weight = torch.randn(16, 32, generator=noise, dtype=torch.float64)

    wanted = torch.cat([alone(*(part[at] for part in parts))[-len(mine) :] for at, mine in zip(places, own, strict=True)])
    wanted_gradients = torch.autograd.grad((wanted * weight).sum(), parts)
    row.padding = getattr(row, plan)
    found = PackedAttention(SimpleNamespace(softmax_scale=None))(*(part[:, None] for part in parts), None, packed_seq_params=row)[:, 0]

    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    for gradient, target in zip(torch.autograd.grad((found * weight).sum(), parts), wanted_gradients, strict=True):
        torch.testing.assert_close(gradient, target, rtol=0, atol=1e-12)
    assert row.cu_seqlens_q.tolist() == [0, 5, 12, 14, 24]
    assert row.whole.positions.tolist() == [place for at in places for place in at]


def test_sequences_are_grouped_while_padding_is_cheap():
    assert group_by_length([60, 50, 1000]) == [[2], [0, 1]]
    assert group_by_length([100, 800, 750, 30]) == [[1, 2], [0], [3]]
    assert len(group_by_length([29 + index % 41 for index in range(60)])) == 2
