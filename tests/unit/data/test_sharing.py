"""Which neighbours share a prompt, and how a data rank's work is cut."""

from __future__ import annotations

import torch

from lmm_r1_mega.batching.sharing import bundle, lenders, num_new_tokens
from lmm_r1_mega.schema import PromptImages, Sequence


def sample(prompt: list[int], response_length: int, images: PromptImages | None = None) -> Sequence:
    return Sequence(torch.tensor([*prompt, *[9] * response_length]), len(prompt), images)


def group(prompt: int, *response_lengths: int) -> list[Sequence]:
    return [sample([prompt] * 10, length) for length in response_lengths]


def test_only_neighbours_share():
    sequences = [sample([1, 2, 3], 2), sample([1, 2, 3], 4), sample([1, 2], 5), sample([1, 2, 3], 1)]
    assert lenders(sequences) == [0, 0, 2, 3]
    assert num_new_tokens(sequences) == [4, 4, 6, 3]


def test_an_image_must_be_the_very_same():
    one, other = (PromptImages(torch.zeros(4, 3), torch.tensor([[1, 2, 2]])) for _ in range(2))
    assert lenders([sample([1], 1, one), sample([1], 1, one), sample([1], 1, other)]) == [0, 0, 2]


def test_groups_stay_whole_where_there_are_enough():
    sequences = [one for prompt in range(16) for one in group(prompt, 5, 5, 5, 5)]
    assert bundle(sequences, budget=100, num_ranks=4) == [[4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3] for i in range(16)]


def test_few_groups_are_cut_for_many_ranks():
    assert bundle(group(1, *[5] * 8), budget=100, num_ranks=1) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert bundle(group(1, *[5] * 8), budget=100, num_ranks=2) == [[i] for i in range(8)]


def test_a_bundle_fits_into_its_row():
    sequences = [one for prompt in range(8) for one in group(prompt, 20, 30, 5, 40)]
    assert bundle(sequences, budget=65, num_ranks=1)[:4] == [[0, 1, 2], [3], [4, 5, 6], [7]]  # 9 + 20 + 30 + 5 = 64
    assert bundle(sequences, budget=63, num_ranks=1)[:2] == [[0, 1], [2, 3]]
