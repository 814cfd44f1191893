"""Each rule against a layout worked by hand, and as the inverse of itself."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lmm_r1_mega.convert.rules import QKV, Copy, GateUp, Vocab


def rows(start: int, count: int) -> torch.Tensor:
    return torch.arange(start, start + count)[:, None] * torch.ones(1, 3)


def test_qkv_interleaves_queries_keys_and_values_by_group():
    rule = QKV(num_heads=4, num_kv_heads=2, head_dim=2)
    whole = rule.to_megatron([rows(0, 8), rows(100, 4), rows(200, 4)])
    assert whole[:, 0].tolist() == [0, 1, 2, 3, 100, 101, 200, 201, 4, 5, 6, 7, 102, 103, 202, 203]
    assert rule.shard(whole, rank=1, size=2)[:, 0].tolist() == [4, 5, 6, 7, 102, 103, 202, 203]


def test_a_bias_is_laid_out_like_its_weight():
    rule = QKV(num_heads=2, num_kv_heads=1, head_dim=2)
    bias = rule.to_megatron([torch.tensor([0.0, 1, 2, 3]), torch.tensor([10.0, 11]), torch.tensor([20.0, 21])])
    assert bias.tolist() == [0, 1, 2, 3, 10, 11, 20, 21]


def test_each_rank_has_its_part_of_gate_and_of_up():
    rule = GateUp()
    whole = rule.to_megatron([rows(0, 4), rows(10, 4)])
    assert whole[:, 0].tolist() == [0, 1, 2, 3, 10, 11, 12, 13]
    assert rule.shard(whole, rank=1, size=2)[:, 0].tolist() == [2, 3, 12, 13]


def test_padding_words_are_zero_and_cut_on_the_way_back():
    rule = Vocab(size=3, padded_size=8)
    whole = rule.to_megatron([rows(1, 3)])
    assert whole[:, 0].tolist() == [1, 2, 3, 0, 0, 0, 0, 0]
    assert rule.to_hf(whole)[0].equal(rows(1, 3))
    assert rule.shard(whole, rank=0, size=2)[:, 0].tolist() == [1, 2, 3, 0]


def test_columns_of_a_row_parallel_weight_are_split():
    whole = torch.arange(8.0).reshape(2, 4)
    assert Copy(split_dim=1).shard(whole, rank=1, size=2).tolist() == [[2, 3], [6, 7]]
    assert Copy().shard(whole, rank=1, size=2) is whole


def test_a_split_that_does_not_fit_says_so():
    with pytest.raises(ValueError, match=r"layout.tensor 3 does not divide 4"):
        Copy(split_dim=0).shard(torch.zeros(4), rank=0, size=3)


@settings(max_examples=40, deadline=None)
@given(groups=st.sampled_from([1, 2, 4]), queries=st.integers(1, 3), size=st.sampled_from([1, 2, 4]), bias=st.booleans())
def test_every_rule_is_the_inverse_of_itself_at_any_size(groups, queries, size, bias):
    noise, width = torch.Generator().manual_seed(groups + 10 * queries), () if bias else (5,)

    def parts(*lengths: int) -> list[torch.Tensor]:
        return [torch.randn(length, *width, generator=noise) for length in lengths]

    cases = [
        (QKV(groups * queries, groups, 4), parts(groups * queries * 4, groups * 4, groups * 4)),
        (GateUp(), parts(8, 8)),
        (Vocab(13, 16), parts(13)),
        (Copy(split_dim=0), parts(8)),
        (Copy(), parts(7)),
    ]
    for rule, tensors in cases:
        whole = rule.to_megatron(tensors)
        shards = [rule.shard(whole, rank=rank, size=size) for rank in range(size) if whole.shape[0] % size == 0]
        again = rule.to_hf(rule.unshard(shards) if shards else whole)
        assert all(torch.equal(one, other) for one, other in zip(again, tensors, strict=True))
