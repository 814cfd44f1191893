"""Phases and their seconds."""

import pytest

from lmm_r1_mega.record.timing import PhaseTimer, shares


def test_phases_add_up_and_start_from_zero_again():
    timer = PhaseTimer()
    for name in ("generate", "update", "generate"):
        with timer.phase(name):
            pass
    first, second = timer.take(), timer.take()
    assert set(first) == {"time/generate", "time/update", "time/step"} and set(second) == {"time/step"}
    assert 0 < first["time/generate"] + first["time/update"] <= first["time/step"]


def test_what_happens_between_steps_is_timed_but_no_part_of_the_step():
    timer = PhaseTimer()
    with timer.phase("save"):
        sum(range(200_000))
    row = timer.take()
    assert row["time/save"] > 0
    assert row["time/step"] < row["time/save"]


def test_a_failing_phase_is_timed_too_and_is_the_last_that_is_heard():
    heard = []
    timer = PhaseTimer(heard.append)
    with pytest.raises(KeyError), timer.phase("update"), timer.phase("generate"):
        raise KeyError
    assert heard == ["update", "generate"]
    assert {"time/update", "time/generate"} <= set(timer.take())


def test_the_listener_hears_the_phase_that_goes_on():
    heard = []
    timer = PhaseTimer(heard.append)
    with timer.phase("update"), timer.phase("save"):
        pass
    assert heard == ["update", "save", "update", ""]


def test_shares_of_a_step_by_hand():
    assert shares({"time/update": 3.0, "time/save": 9.0, "time/generate": 0.5, "time/step": 4.0}) == {
        "perf/utilization/update": 0.75,
        "perf/utilization/generate": 0.125,
    }
