"""Running mean and deviation, against the statistics module and through JSON."""

import json
import random
import statistics

import pytest

from lmm_r1_mega.rewards.running import Moments, RunningScales


def test_by_hand():
    moments = Moments().with_value(1.0).with_value(2.0).with_value(6.0)
    assert moments == Moments(3, 3.0, 14.0)
    assert moments.deviation == 7.0**0.5


def test_mean_and_deviation_are_those_of_all_values_even_far_from_zero():
    values = [1e6 + random.Random(i).gauss(0, 1e-2) for i in range(1000)]
    scales = RunningScales()
    for start in range(0, 1000, 7):
        scales.add("m", values[start : start + 7])
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    assert scales.scaled("m", mean + deviation) == pytest.approx(1.0, abs=1e-6)
    assert scales.scaled("m", mean) == pytest.approx(0.0, abs=1e-6)


def test_before_there_is_a_deviation_it_is_one():
    scales = RunningScales()
    assert scales.scaled("m", 3.0) == 3.0
    scales.add("m", [3.0])
    assert scales.scaled("m", 5.0) == 2.0
    scales.add("m", [3.0] * 10)
    assert scales.scaled("m", 5.0) == 2.0


def test_a_resumed_run_goes_on_bit_by_bit():
    chance = random.Random(1)
    values = [chance.gauss(0.1, 3) for _ in range(200)]
    whole, first, second = RunningScales(), RunningScales(), RunningScales()
    whole.add("m", values[:100])
    first.add("m", values[:100])
    second.restore(json.loads(json.dumps(first.state())))
    for scales in (whole, second):
        scales.add("m", values[100:])
        scales.add("n", values[:3])
    assert second.state() == whole.state()
    assert second.scaled("m", 0.7) == whole.scaled("m", 0.7)
