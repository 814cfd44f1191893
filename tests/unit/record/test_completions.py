"""Completions survive a file bit by bit."""

import struct

import pytest
import torch

from lmm_r1_mega.errors import BadData
from lmm_r1_mega.record.completions import read_completions, write_completions
from lmm_r1_mega.schema import Completion

COMPLETIONS = [
    Completion((1, 2, 3), torch.tensor([7, 8]), torch.tensor([-0.1, -1e-30]), "seven \u2264 8", "stop", 3),
    Completion((1, 2, 3), torch.tensor([151_935]), torch.tensor([-0.0]), "", "length", 3),
    Completion((9,), torch.zeros(0, dtype=torch.int64), torch.zeros(0), "lone \ud800 and \U0001f642\n", "stop", 2**40),
]


def bits(logprobs):
    return [struct.pack("f", value) for value in logprobs.tolist()]


def test_read_is_the_inverse_of_write(tmp_path):
    write_completions(tmp_path / "file", COMPLETIONS)
    found = read_completions(tmp_path / "file")
    for one, expected in zip(found, COMPLETIONS, strict=True):
        assert bits(one.response_logprobs) == bits(expected.response_logprobs) and one.response_logprobs.dtype == torch.float32
        assert one.response_ids.equal(expected.response_ids)
        for name in ("prompt_ids", "text", "finish_reason", "weight_version"):
            assert getattr(one, name) == getattr(expected, name)


def test_a_cut_file_is_refused(tmp_path):
    write_completions(tmp_path / "file", COMPLETIONS)
    content = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(content[:-1])
    with pytest.raises(BadData, match="copy it again"):
        read_completions(tmp_path / "file")
