"""Whose turn it is among servers, and how long one that fails is left alone."""

import threading
import time

from lmm_r1_mega.rewards.turns import FAILURES_TO_OPEN, LONGEST_PAUSE_S, LONGEST_REQUEST_S, Turns, _pause_s


def soon() -> float:
    return time.monotonic() + 0.05


def fail(turns: Turns, times: int) -> None:
    for _ in range(times):
        server = turns.take(without=set(), deadline=soon())
        assert server is not None
        turns.failed(server)


def test_the_least_burdened_server_is_taken():
    turns = Turns(["a", "b"])
    taken = [turns.take(without=set(), deadline=soon()) for _ in range(4)]
    assert sorted(server.url for server in taken) == ["a", "a", "b", "b"]
    turns.succeeded(taken[0])
    assert turns.take(without=set(), deadline=soon()).url == taken[0].url


def test_who_refused_is_passed_over_and_where_all_did_nobody_is_waited_for():
    turns = Turns(["a", "b"])
    assert {turns.take(without={"a"}, deadline=soon()).url for _ in range(3)} == {"b"}
    started = time.monotonic()
    assert turns.take(without={"a", "b"}, deadline=started + 60) is None
    assert time.monotonic() - started < 1


def test_pauses_double_up_to_a_longest():
    assert [_pause_s(failures) for failures in (1, FAILURES_TO_OPEN - 1, FAILURES_TO_OPEN, FAILURES_TO_OPEN + 1)] == [0, 0, 0.5, 1.0]
    assert _pause_s(FAILURES_TO_OPEN + 6) == LONGEST_PAUSE_S == _pause_s(10_000)


def test_an_open_circuit_lets_nobody_through_then_one_probe_and_closes_with_its_success():
    turns = Turns(["a"])
    fail(turns, FAILURES_TO_OPEN)
    assert turns.take(without=set(), deadline=soon()) is None
    started = time.monotonic()
    probe = turns.take(without=set(), deadline=started + 5)
    assert 0.3 < time.monotonic() - started < 2
    assert turns.take(without=set(), deadline=soon()) is None, "one probe at a time"
    turns.succeeded(probe)
    assert all(turns.take(without=set(), deadline=soon()) for _ in range(3))


def test_requests_on_their_way_when_the_circuit_opens_do_not_lengthen_the_pause():
    turns = Turns(["a"])
    flying = [turns.take(without=set(), deadline=soon()) for _ in range(16)]
    for server in flying:
        turns.failed(server)
    assert turns.servers[0].failures == FAILURES_TO_OPEN
    assert turns.servers[0].not_before - time.monotonic() < 0.6


def test_a_pause_that_was_asked_for_is_no_failure():
    turns = Turns(["a"])
    turns.paused(turns.take(without=set(), deadline=soon()), 0.2)
    started = time.monotonic()
    assert turns.take(without=set(), deadline=started + 5).failures == 0
    assert time.monotonic() - started > 0.1


def test_a_server_is_asked_again_however_long_a_pause_it_asked_for():
    turns = Turns(["a"])
    turns.paused(turns.take(without=set(), deadline=soon()), float("inf"))
    assert turns.servers[0].not_before <= time.monotonic() + LONGEST_REQUEST_S


def test_who_waits_is_woken_by_a_server_that_is_given_back():
    turns = Turns(["a"])
    fail(turns, FAILURES_TO_OPEN)
    probe = turns.take(without=set(), deadline=time.monotonic() + 5)
    threading.Timer(0.1, turns.succeeded, [probe]).start()
    started = time.monotonic()
    assert turns.take(without=set(), deadline=started + 30) is not None
    assert time.monotonic() - started < 5
