"""The tokens of a step end to end."""

import torch

from lmm_r1_mega.algorithms.trajectories import cut_responses, each_token

LENGTHS = torch.tensor([2, 0, 3])


def test_responses_are_cut_where_they_were_joined():
    responses = [torch.tensor([1.0, 2.0]), torch.tensor([]), torch.tensor([3.0, 4.0, 5.0])]
    for cut, response in zip(cut_responses(torch.cat(responses), LENGTHS), responses, strict=True):
        assert cut.equal(response)


def test_a_samples_number_at_each_of_its_tokens():
    assert each_token(torch.tensor([5, 6, 7]), LENGTHS).tolist() == [5, 5, 7, 7, 7]
