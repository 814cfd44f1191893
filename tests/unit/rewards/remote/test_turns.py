"""Which replica is asked next, and how long one that fails is left alone."""

import asyncio
import time

from lmm_r1_mega.rewards.remote.turns import (
    FAILURES_TO_OPEN,
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    LONGEST_REQUEST_S,
    Server,
    pause_after,
    take_turn,
)

NEVER_S = 500.0
"""A deadline that no test comes near, however slow the machine."""


def replicas(*urls: str) -> list[Server]:
    return [Server(url) for url in urls]


def taken_before(servers: list[Server], deadline: float, without: frozenset[str] = frozenset()) -> Server | None:
    return asyncio.run(take_turn(servers, without=set(without), deadline=deadline))


def take(servers: list[Server], without: frozenset[str] = frozenset()) -> Server:
    server = taken_before(servers, time.monotonic() + NEVER_S, without)
    assert server is not None
    return server


def is_refused(servers: list[Server]) -> bool:
    """Whether a request that can wait for a moment only gets no server."""
    return taken_before(servers, time.monotonic() + 0.05) is None


def fail(servers: list[Server], times: int) -> None:
    for _ in range(times):
        take(servers).failed()


def test_the_least_burdened_server_is_taken():
    servers = replicas("a", "b")
    taken = [take(servers) for _ in range(4)]
    assert sorted(server.url for server in taken) == ["a", "a", "b", "b"]
    taken[0].succeeded()
    assert take(servers).url == taken[0].url


def test_who_refused_is_passed_over_and_where_all_did_nobody_is_waited_for():
    servers = replicas("a", "b")
    assert {take(servers, without=frozenset("a")).url for _ in range(3)} == {"b"}
    assert taken_before(servers, time.monotonic() + NEVER_S, without=frozenset("ab")) is None


def test_pauses_double_up_to_a_longest():
    assert [pause_after(failures) for failures in (1, FAILURES_TO_OPEN - 1, FAILURES_TO_OPEN, FAILURES_TO_OPEN + 1)] == [0, 0, 0.5, 1.0]
    assert pause_after(FAILURES_TO_OPEN + 6) == LONGEST_PAUSE_S == pause_after(10_000)


def test_an_open_circuit_lets_nobody_through_then_one_probe_and_closes_with_its_success():
    servers = replicas("a")
    [server] = servers
    fail(servers, FAILURES_TO_OPEN - 1)
    probe, before = take(servers), time.monotonic()
    probe.failed()
    assert before + FIRST_PAUSE_S <= server.not_before <= time.monotonic() + FIRST_PAUSE_S
    assert taken_before(servers, server.not_before) is None, "nobody before the pause is over"
    probe = take(servers)
    assert time.monotonic() >= server.not_before
    assert is_refused(servers), "one probe at a time"
    probe.succeeded()
    assert [take(servers) for _ in range(3)] == [server] * 3


def test_requests_on_their_way_when_the_circuit_opens_do_not_lengthen_the_pause():
    servers = replicas("a")
    [server] = servers
    flying = [take(servers) for _ in range(16)]
    for _ in range(FAILURES_TO_OPEN):
        flying.pop().failed()
    server.not_before = opened = time.monotonic() + NEVER_S
    for late in flying:
        late.failed()
    assert (server.failures, server.not_before, server.in_flight) == (FAILURES_TO_OPEN, opened, 0)


def test_a_pause_that_was_asked_for_is_no_failure():
    servers = replicas("a")
    taken, before = take(servers), time.monotonic()
    taken.paused(0.2)
    assert take(servers).failures == 0
    assert time.monotonic() >= before + 0.2


def test_a_server_is_asked_again_however_long_a_pause_it_asked_for():
    servers = replicas("a")
    take(servers).paused(float("inf"))
    assert servers[0].not_before <= time.monotonic() + LONGEST_REQUEST_S


def test_who_waits_is_woken_by_a_server_that_is_given_back():
    async def wait_for_probe() -> None:
        servers = replicas("a")
        deadline = time.monotonic() + NEVER_S
        for _ in range(FAILURES_TO_OPEN):
            (await take_turn(servers, without=set(), deadline=deadline)).failed()
        probe = await take_turn(servers, without=set(), deadline=deadline)
        waiting = asyncio.create_task(take_turn(servers, without=set(), deadline=deadline))
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        assert not done, "the probe is on its way"
        probe.succeeded()
        await asyncio.wait_for(waiting, 60)  # it would otherwise wait for its deadline of five minutes

    asyncio.run(wait_for_probe())
