"""Sequences out to ranks and rows, results back in order; how fast the ranks were."""

import pytest

from lmm_r1_mega.cluster.trainers import MicrobatchAssignment, speed_metrics
from lmm_r1_mega.config.device import Device


def test_rows_and_back():
    assignment = MicrobatchAssignment([[[3, 0], []], [[2], [1, 4]]], flops=0.0)
    assert assignment.microbatches(list("abcde")) == [[["d", "a"], []], [["c"], ["b", "e"]]]
    assert assignment.ranks(list("abcde")) == [["d", "a"], ["c", "b", "e"]]
    assert assignment.restore([[30, 0], [20, 10, 40]]) == [0, 10, 20, 30, 40]


def test_speed_by_hand():
    assert speed_metrics(8e14, [1e15, 1e15]) == pytest.approx({"perf/update_tflops_per_rank": 400, "perf/mfu": 0.4})
    assert speed_metrics(8e9, [None]) == pytest.approx({"perf/update_tflops_per_rank": 0.008})


def test_peaks_are_those_of_the_device_and_its_arithmetic():
    assert Device("gpu", name="NVIDIA H100 80GB HBM3").peak_flops("bf16") == 989e12
    assert Device("gpu", name="NVIDIA H100 80GB HBM3").peak_flops("fp8") == 2 * 989e12
    assert Device("gpu", name="NVIDIA H100 80GB HBM3").peak_flops("fp32") is None
    assert Device("cpu").peak_flops("bf16") is None
