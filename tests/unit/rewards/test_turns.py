"""Whose turn it is among servers, and how long one that fails is left alone."""

import threading
import time

from lmm_r1_mega.rewards.turns import FAILURES_TO_OPEN, FIRST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_REQUEST_S, Server, Turns, _pause_s

NEVER_S = 500.0
"""A deadline that no test comes near, however slow the machine."""


def take(turns: Turns, without: frozenset[str] = frozenset()) -> Server:
    server = turns.take(without=set(without), deadline=time.monotonic() + NEVER_S)
    assert server is not None
    return server


def is_refused(turns: Turns) -> bool:
    """Whether a request that can wait for a moment only gets no server."""
    return turns.take(without=set(), deadline=time.monotonic() + 0.05) is None


def fail(turns: Turns, times: int) -> None:
    for _ in range(times):
        turns.failed(take(turns))


def test_the_least_burdened_server_is_taken():
    turns = Turns(["a", "b"])
    taken = [take(turns) for _ in range(4)]
    assert sorted(server.url for server in taken) == ["a", "a", "b", "b"]
    turns.succeeded(taken[0])
    assert take(turns).url == taken[0].url


def test_who_refused_is_passed_over_and_where_all_did_nobody_is_waited_for():
    turns = Turns(["a", "b"])
    assert {take(turns, without=frozenset("a")).url for _ in range(3)} == {"b"}
    assert turns.take(without={"a", "b"}, deadline=time.monotonic() + NEVER_S) is None


def test_pauses_double_up_to_a_longest():
    assert [_pause_s(failures) for failures in (1, FAILURES_TO_OPEN - 1, FAILURES_TO_OPEN, FAILURES_TO_OPEN + 1)] == [0, 0, 0.5, 1.0]
    assert _pause_s(FAILURES_TO_OPEN + 6) == LONGEST_PAUSE_S == _pause_s(10_000)


def test_an_open_circuit_lets_nobody_through_then_one_probe_and_closes_with_its_success():
    turns = Turns(["a"])
    [server] = turns.servers
    fail(turns, FAILURES_TO_OPEN - 1)
    probe, before = take(turns), time.monotonic()
    turns.failed(probe)
    assert before + FIRST_PAUSE_S <= server.not_before <= time.monotonic() + FIRST_PAUSE_S
    assert turns.take(without=set(), deadline=server.not_before) is None, "nobody before the pause is over"
    probe = take(turns)
    assert time.monotonic() >= server.not_before
    assert is_refused(turns), "one probe at a time"
    turns.succeeded(probe)
    assert [take(turns) for _ in range(3)] == [server] * 3


def test_requests_on_their_way_when_the_circuit_opens_do_not_lengthen_the_pause():
    turns = Turns(["a"])
    [server] = turns.servers
    flying = [take(turns) for _ in range(16)]
    for _ in range(FAILURES_TO_OPEN):
        turns.failed(flying.pop())
    server.not_before = opened = time.monotonic() + NEVER_S
    for late in flying:
        turns.failed(late)
    assert (server.failures, server.not_before, server.in_flight) == (FAILURES_TO_OPEN, opened, 0)


def test_a_pause_that_was_asked_for_is_no_failure():
    turns = Turns(["a"])
    taken, before = take(turns), time.monotonic()
    turns.paused(taken, 0.2)
    assert take(turns).failures == 0
    assert time.monotonic() >= before + 0.2


def test_a_server_is_asked_again_however_long_a_pause_it_asked_for():
    turns = Turns(["a"])
    turns.paused(take(turns), float("inf"))
    assert turns.servers[0].not_before <= time.monotonic() + LONGEST_REQUEST_S


def test_who_waits_is_woken_by_a_server_that_is_given_back():
    turns = Turns(["a"])
    fail(turns, FAILURES_TO_OPEN)
    probe, taken = take(turns), threading.Event()

    def wait() -> None:
        take(turns)
        taken.set()

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    assert not taken.wait(0.05), "the probe is on its way"
    turns.succeeded(probe)
    assert taken.wait(60), "it would otherwise wait for its deadline of five minutes"
    waiting.join()
