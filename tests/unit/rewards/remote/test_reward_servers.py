"""The client of reward servers against servers of this machine that fail in every way."""

import contextlib
import logging
import random
import socket
import threading
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from loopback import loopback, loopbacks, send, with_enough_time

from lmm_r1_mega.config import RemoteSettings
from lmm_r1_mega.rewards.messages import PartialReward, RewardInput
from lmm_r1_mega.rewards.remote.reward_servers import RemoteRewards

TEXTS = [RewardInput(f"response {i}", i, f"prompt {i}: ") for i in range(7)]


def worth(query: str) -> float:
    """What the servers pay: a function of the whole query."""
    return zlib.crc32(query.encode()) / 2**32


def right(handler, body, number):
    send(handler, {"rewards": [worth(query) for query in body["query"]]})


def expected(inputs) -> list[PartialReward]:
    return [PartialReward({"remote": worth(given.prompt + given.response)}) for given in inputs]


NEVER_S = 500.0
"""A limit that no test comes near, however slow the machine: who waits for it is caught by the suite's own."""


def rewards(servers, *, size=4, timeout_s=NEVER_S, budget_s=NEVER_S) -> RemoteRewards:
    settings = RemoteSettings(urls=tuple(server.url for server in servers), timeout_s=timeout_s, budget_s=budget_s)
    return RemoteRewards(settings, request_size=size)


def silent(handler, body, number):
    """No answer as long as the server runs."""
    handler.server.closing.wait()


def drip(handler, body, number):
    """A byte every tenth of a second without end: no single read of the client is ever late."""
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
    while not handler.server.closing.wait(0.1):
        handler.wfile.write(b"y")
        handler.wfile.flush()


def half(handler, body, number):
    send(handler, b'{"rewards": [1.0, 2.')


def cut(handler, body, number):
    """Fewer bytes than were promised."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"rewards": [')


def closed(handler, body, number):
    handler.connection.shutdown(socket.SHUT_RDWR)


def moved(handler, body, number):
    send(handler, {}, status=307, headers={"Location": "http://127.0.0.1:1/elsewhere"})


def giving(content, status=200, headers=None):
    return lambda handler, body, number: send(handler, content, status=status, headers=headers)


def wrong_length(handler, body, number):
    send(handler, {"rewards": [9.0] * (len(body["query"]) + 1)})


def nan(handler, body, number):
    send(handler, {"rewards": [float("nan")] * len(body["query"])})


FAULTS = {
    "status 500": giving({"error": "no"}, status=500),
    "status 429": giving({}, status=429),
    "status 404": giving({}, status=404),
    "status 307": moved,
    "timeout": silent,
    "answer is not JSON": half,
    "connection failed": closed,
    "wrong number of rewards": wrong_length,
    "no list `rewards` in the answer": giving({"reward": [1.0]}),
    "a reward is not a number": lambda handler, body, number: send(handler, {"rewards": ["1"] * len(body["query"])}),
    "not a finite number": nan,
}


def impatient(reason: str) -> float:
    """The limit of a request: long, unless it has to be met."""
    return 0.3 if reason == "timeout" else NEVER_S


@pytest.mark.parametrize("reason", FAULTS)
def test_another_server_stands_in_for_one_that_fails(reason):
    with loopbacks(FAULTS[reason], right) as servers:
        assert rewards(servers, timeout_s=impatient(reason)).partial_rewards(TEXTS) == expected(TEXTS)
        assert servers[0].bodies, "the failing one was asked"


def test_without_another_the_samples_are_invalid_by_reason():
    def rewards_despite(reason: str) -> list[PartialReward]:
        with loopback(FAULTS[reason]) as server:
            return with_enough_time(
                lambda budget_s: rewards([server], budget_s=budget_s, timeout_s=impatient(reason)).partial_rewards(TEXTS)
            )

    with ThreadPoolExecutor(len(FAULTS)) as together:
        found = dict(zip(FAULTS, together.map(rewards_despite, FAULTS), strict=True))
    assert found == {reason: [PartialReward({}, f"remote: {reason}")] * len(TEXTS) for reason in FAULTS}


@pytest.mark.parametrize(("fault", "reason"), [(drip, "timeout"), (silent, "timeout"), (cut, "connection failed")])
def test_an_answer_that_never_ends_is_cut_by_the_budget(fault, reason):
    with loopback(fault) as server:
        [found] = with_enough_time(lambda budget_s: rewards([server], budget_s=budget_s).partial_rewards(TEXTS[:1]))
    assert found == PartialReward({}, f"remote: {reason}")


def test_a_failure_that_passes_is_waited_out():
    def recovering(handler, body, number):
        FAULTS["status 500"](handler, body, number) if number < 3 else right(handler, body, number)

    with loopback(recovering) as server:
        assert rewards([server], size=100).partial_rewards(TEXTS) == expected(TEXTS)
        assert len(server.bodies) == 4


def test_retry_after_is_honoured_within_the_budget():
    times = []

    def busy(handler, body, number):
        times.append(time.monotonic())
        send(handler, {}, status=429, headers={"Retry-After": "1"}) if number == 0 else right(handler, body, number)

    with loopback(busy) as server:
        assert rewards([server], size=100).partial_rewards(TEXTS) == expected(TEXTS)
    assert times[1] - times[0] >= 1.0


def test_nobody_waits_for_what_cannot_come_in_time():
    with loopback(giving({}, status=429, headers={"Retry-After": "3600"})) as server:
        assert {one.invalid for one in rewards([server], size=100).partial_rewards(TEXTS)} == {"remote: status 429"}
        assert len(server.bodies) == 1


def test_a_server_that_refuses_is_not_asked_the_same_again():
    with loopback(FAULTS["status 404"]) as server:
        rewards([server], size=100).partial_rewards(TEXTS)
        assert len(server.bodies) == 1


def test_the_circuit_of_a_dead_server_opens():
    with loopbacks(FAULTS["status 500"], right) as servers:
        asked = rewards(servers, size=1)
        for _ in range(10):
            assert asked.partial_rewards(TEXTS * 4) == expected(TEXTS * 4)
        assert len(servers[0].bodies) <= 40 and len(servers[1].bodies) == 280


def test_servers_share_the_load():
    with loopbacks(right, right, right) as servers:
        assert rewards(servers, size=1).partial_rewards(TEXTS * 30) == expected(TEXTS * 30)
        assert min(len(server.bodies) for server in servers) >= 40


def test_a_number_that_is_not_finite_is_invalid_alone():
    def one_nan(handler, body, number):
        send(handler, {"rewards": [float("inf") if "3" in query else worth(query) for query in body["query"]]})

    with loopback(one_nan) as server:
        found = rewards([server]).partial_rewards(TEXTS)
    assert [one.invalid for one in found] == [None, None, None, "remote: not a finite number", None, None, None]
    assert found[2] == expected(TEXTS)[2] and found[3].parts == {}


def test_the_servers_own_invalid_samples_are_masked():
    with loopback(giving({"rewards": [0.0, None, 0.5], "invalid": ["unparsable gold answer", None, None]})) as server:
        found = rewards([server]).partial_rewards(TEXTS[:3])
    assert found == [
        PartialReward({}, "remote: unparsable gold answer"),
        PartialReward({}, "remote: no reward"),
        PartialReward({"remote": 0.5}),
    ]


def test_every_further_list_of_numbers_is_a_part():
    content = {
        "rewards": [1, 2.5],
        "format": [0.5, None],
        "accuracy": [float("nan"), 10**400],
        "comments": ["a", "b"],
        "longer": [1, 2, 3],
        "model": "x",
    }
    with loopback(giving(content)) as server:
        found = rewards([server]).partial_rewards(TEXTS[:2])
    assert found == [PartialReward({"remote": 1.0, "remote/format": 0.5}), PartialReward({"remote": 2.5})]


def test_what_is_posted_is_the_protocol():
    with loopback(giving({"rewards": [1, 2]})) as server:
        rewards([server]).partial_rewards([RewardInput("r", 3, "p"), RewardInput("\ud800", None, "")])
    assert server.bodies == [{"query": ["pr", "\ud800"], "prompts": ["p", ""], "labels": [3, None]}]
    assert server.headers[0]["Content-Type"] == "application/json" and "Authorization" not in server.headers[0]


def test_the_token_comes_from_the_environment_and_is_not_logged(monkeypatch, caplog):
    monkeypatch.setenv("LMM_R1_REWARD_TOKEN", "s3cret\n")
    with loopback(FAULTS["status 500"]) as server, caplog.at_level(logging.DEBUG):
        with_enough_time(lambda budget_s: rewards([server], budget_s=budget_s).partial_rewards(TEXTS))
    assert server.headers[0]["Authorization"] == "Bearer s3cret"
    assert "status 500" in caplog.text and "s3cret" not in caplog.text


@pytest.mark.parametrize("token", ["s3cr\u00e9t", "s3cret\nX: y"])
def test_a_token_that_no_header_carries_is_refused_without_being_shown(monkeypatch, token):
    monkeypatch.setenv("LMM_R1_REWARD_TOKEN", token)
    with pytest.raises(ValueError, match="LMM_R1_REWARD_TOKEN holds signs") as refused:
        RemoteRewards(RemoteSettings(urls=("http://127.0.0.1:9/",)))
    assert "s3cr" not in str(refused.value)


def test_nobody_listens():
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        settings = RemoteSettings(urls=(f"http://127.0.0.1:{taken.getsockname()[1]}",), timeout_s=NEVER_S)
        found = with_enough_time(lambda budget_s: RemoteRewards(settings.model_copy(update={"budget_s": budget_s})).partial_rewards(TEXTS))
        assert {one.invalid for one in found} == {"remote: connection failed"}


def test_no_responses_ask_nobody():
    with loopback(right) as server:
        assert rewards([server]).partial_rewards([]) == []
    assert server.bodies == []


def test_of_100_000_samples_none_gets_the_reward_of_another():
    """Four servers that fail in turn by chance, answers out of order: every reward is the one of its own query."""
    attempts, lock = Counter(), threading.Lock()
    faults = [FAULTS[name] for name in ("status 500", "status 429", "answer is not JSON", "connection failed", "wrong number of rewards")]

    def flaky(handler, body, number):
        request = body["query"][0]
        with lock:
            attempts[request] += 1
            chance = random.Random(f"{request} {attempts[request]}")  # whichever server and thread it came to
        fails, fault, delay = chance.random() < 0.3, chance.choice([*faults, nan, cut]), chance.random() * 0.02
        time.sleep(delay)
        fault(handler, body, number) if fails else right(handler, body, number)

    inputs = [RewardInput(f"r{i}", i, f"p{i % 977} ") for i in range(100_000)]
    with loopbacks(flaky, flaky, flaky, flaky) as servers:
        found = rewards(servers, size=500).partial_rewards(inputs)
        assert sum(len(server.bodies) for server in servers) > 200, "some failed and were asked again"
    assert found == expected(inputs)
