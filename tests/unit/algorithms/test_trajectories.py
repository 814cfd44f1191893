"""Padding of responses and its inverse."""

import torch

from lmm_r1_mega.algorithms.trajectories import cut_responses, pad_responses, response_mask


def test_cut_is_the_inverse_of_pad():
    responses = [torch.tensor([1.0, 2.0]), torch.tensor([]), torch.tensor([3.0, 4.0, 5.0])]
    padded = pad_responses(responses)
    assert padded.tolist() == [[1, 2, 0], [0, 0, 0], [3, 4, 5]]
    for cut, response in zip(cut_responses(padded, torch.tensor([2, 0, 3])), responses, strict=True):
        assert cut.equal(response)


def test_mask_by_hand():
    assert response_mask(torch.tensor([2, 0, 3])).tolist() == [[True, True, False], [False, False, False], [True, True, True]]
