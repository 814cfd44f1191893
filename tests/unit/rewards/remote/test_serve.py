"""`lmm-r1-mega reward serve` as a process, asked over its socket."""

import asyncio
import contextlib
import ctypes
import http.client
import json
import os
import platform
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import psutil
import pytest

from lmm_r1_mega.config import RemoteSettings, RewardSettings
from lmm_r1_mega.http_client import request
from lmm_r1_mega.rewards.messages import PartialReward, RewardInput
from lmm_r1_mega.rewards.remote import serve
from lmm_r1_mega.rewards.remote.reward_servers import RemoteRewards
from lmm_r1_mega.rewards.remote.serve import RewardServer, check_address, check_is_local

TURN = "<|im_start|>user\n1+2?<|im_end|>\n<|im_start|>assistant\n"
TOKEN = "a-secret-of-the-tests"
SYS_TGKILL = {"x86_64": 234, "aarch64": 131}[platform.machine()]


def answered(text: object) -> str:
    return f"<think> hm </think> <answer> $\\boxed{{{text}}}$ </answer>"


@contextlib.contextmanager
def served(*options: str, token: str = ""):
    """A server process and its port; it is asked to end at last and must do so well, leaving nobody behind."""
    command = [sys.executable, "-m", "lmm_r1_mega.cli", "reward", "serve", "--port", "0", "--reward.workers", "2", *options]
    environment = {**os.environ, "LMM_R1_REWARD_TOKEN": token}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        line = process.stdout.readline()
        assert "serving format, accuracy at http://127.0.0.1:" in line, process.stderr.read()
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) == 3
        yield process, int(line.rsplit(":", 1)[1])
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0 and "Traceback" not in errors
        assert token == "" or token not in output + errors
        _, alive = psutil.wait_procs(family, timeout=60)
        assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def port():
    with served() as (_, port):
        yield port


@pytest.fixture(scope="module")
def guarded_port():
    with served(token=TOKEN) as (_, port):
        yield port


def ask(port: int, content: object, *, method: str = "POST", path: str = "/get_reward", **headers: str) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=200)
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    connection.request(method, path, body=body if method == "POST" else None, headers={"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    found = response.status, json.loads(response.read())
    connection.close()
    return found


def test_an_lmm_r1_client_gets_its_rewards(port):
    """As LMM-R1 sends them: decoded with special tokens, padded on both sides, prompts as chat turns."""
    queries = ["<|endoftext|>" * 3 + TURN + answered(text) + "<|im_end|><|endoftext|>" for text in ("3", "4")]
    chat = json.dumps([{"role": "user", "content": "1+2?"}])
    status, found = ask(port, {"query": queries, "prompts": [chat, chat], "labels": ["3", "3"]})
    assert status == 200 and found["rewards"] == [1.5, 0.5]
    assert found["accuracy"] == [1.0, 0.0] and found["format"] == [1.0, 1.0]


def test_our_client_gets_what_the_pool_says_and_masks_what_is_invalid(port):
    settings = RemoteSettings(urls=(f"http://127.0.0.1:{port}/",))
    inputs = [RewardInput(answered("3"), 3, "Q: "), RewardInput(answered("3"), "see figure", "Q: "), RewardInput(answered("3"), 4, "Q: ")]
    right, bad, wrong = RemoteRewards(settings).partial_rewards(inputs)
    assert right == PartialReward({"remote": 1.5, "remote/format": 1.0, "remote/accuracy": 1.0})
    assert bad.invalid == "remote: unparsable gold answer" and "remote" not in bad.parts
    assert wrong.parts["remote"] == 0.5


def test_clients_that_come_together_each_get_their_own(port):
    found = {}

    def client(name: int) -> None:
        chance = random.Random(name)
        labels = [chance.randrange(5) for _ in range(20)]
        given = {"query": [f"Q{answered(i % 5)}" for i in range(20)], "prompts": ["Q"] * 20, "labels": labels}
        found[name] = ask(port, given)[1]["accuracy"], [float(i % 5 == label) for i, label in enumerate(labels)]

    clients = [threading.Thread(target=client, args=(name,)) for name in range(12)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    assert len(found) == 12 and all(got == wanted for got, wanted in found.values())


def test_health(port, guarded_port):
    assert ask(port, b"", method="GET", path="/health") == (200, {"status": "ok"})
    assert ask(guarded_port, b"", method="GET", path="/health") == (200, {"status": "ok"})
    assert ask(port, b"", method="GET", path="/etc/passwd")[0] == 404


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {}, 400),
        ({"query": "a"}, {}, 400),
        ({"query": ["a"], "labels": []}, {}, 400),
        ({"query": ["a"]}, {"Content-Type": "text/plain"}, 415),
    ],
)
def test_wrong_requests_are_refused_with_the_reason(port, content, headers, status):
    found, answer = ask(port, content, **headers)
    assert found == status and answer["error"]


def test_bodies_that_are_too_large_or_of_unknown_length_are_not_read(port):
    for header, status in (
        ("Content-Length: 99999999999", b"413"),
        ("Transfer-Encoding: chunked", b"411"),
        ("Content-Length: -1", b"400"),
        (f"Content-Length: {'9' * 5000}", b"400"),
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=100) as raw:
            raw.sendall(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{header}\r\n\r\n".encode())
            assert raw.recv(4096).split()[1] == status


def test_a_client_that_goes_away_disturbs_nobody():
    with served() as (_, port):
        for sent in (b"{", json.dumps({"query": ["Q" + answered("3")]}).encode()):
            with socket.create_connection(("127.0.0.1", port), timeout=100) as raw:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes with a reset
                raw.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n" + sent)
        assert ask(port, {"query": ["Q" + answered("3")], "prompts": ["Q"], "labels": ["3"]})[1]["rewards"] == [1.5]


@pytest.mark.parametrize("connection", [b"", b"Connection: close\r\n"])
def test_a_stranger_who_sends_slowly_is_told_why_he_is_refused(guarded_port, connection):
    with socket.create_connection(("127.0.0.1", guarded_port), timeout=100) as raw:
        raw.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 400000\r\n" + connection + b"\r\n")
        for _ in range(400):
            raw.sendall(b"x" * 1000)
            time.sleep(0.001)
        assert raw.recv(4096).split()[1] == b"401"


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Le", b""),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nPOST / HT", b"HTTP/1.1 200"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{", b"HTTP/1.1 408"),
    ],
)
def test_half_a_request_does_not_stay_for_ever(monkeypatch, sent, answer):
    monkeypatch.setattr(serve, "READ_LIMIT_S", 0.3)
    server = serve.RewardServer("127.0.0.1", 0, token="", opening="")
    server.start()
    try:
        with socket.create_connection(("127.0.0.1", int(server.address.rsplit(":", 1)[1])), timeout=100) as raw:
            raw.sendall(sent)
            heard = b"".join(iter(lambda: raw.recv(4096), b""))
        assert heard.startswith(answer) and bool(heard) == bool(answer)
    finally:
        server.stop()


def test_without_the_token_nothing_is_scored(guarded_port):
    content = {"query": ["Q" + answered("3")], "prompts": ["Q"], "labels": ["3"]}
    for headers in ({}, {"Authorization": TOKEN}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {TOKEN}x"}):
        status, answer = ask(guarded_port, content, **headers)
        assert status == 401 and TOKEN not in json.dumps(answer)
    assert ask(guarded_port, content, Authorization=f"Bearer {TOKEN}")[1]["rewards"] == [1.5]
    assert ask(guarded_port, {"query": ["x" * 3_000_000]})[0] == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.1", "example.org"])
def test_beyond_loopback_it_does_not_start_without_a_token(host):
    with pytest.raises(ValueError, match="set LMM_R1_REWARD_TOKEN"):
        check_address(host, "")
    check_address(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_on_loopback_it_does(host):
    check_address(host, "")


@contextlib.contextmanager
def waiting_client(process, port):
    """A client of a server that has begun to judge what takes for ever; at last the client must have been told that it ended."""
    answers = []
    bomb = {"query": ["Q<answer>9^{9^{9^{9}}}</answer>"], "prompts": ["Q"], "labels": ["3"]}
    workers = psutil.Process(process.pid).children(recursive=True)
    idle_s = sum(worker.cpu_times().user for worker in workers)
    client = threading.Thread(target=lambda: answers.append(ask(port, bomb)))
    client.start()
    while sum(worker.cpu_times().user for worker in workers) < idle_s + 0.2:
        time.sleep(0.02)
    yield
    process.wait(timeout=60)
    client.join(timeout=60)
    assert answers[0][0] == 503


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_and_who_waits_is_told(number):
    with served("--reward.timeout_s", "3600") as (process, port), waiting_client(process, port):
        process.send_signal(number)


@pytest.mark.parametrize("state", ["idle", "judging"])
def test_a_signal_that_another_thread_takes_ends_it_too(state):
    """The kernel may give a signal to any thread, and then it does not end what the main one waits for."""
    with served("--reward.timeout_s", "3600") as (process, port):
        with waiting_client(process, port) if state == "judging" else contextlib.nullcontext():
            others = [thread.id for thread in psutil.Process(process.pid).threads() if thread.id != process.pid]
            assert ctypes.CDLL(None).syscall(SYS_TGKILL, process.pid, others[0], signal.SIGTERM) == 0
        process.wait(timeout=60)


def test_rewards_from_elsewhere_are_not_served():
    with pytest.raises(ValueError, match=r"reward.remote.urls is set"):
        check_is_local(RewardSettings(remote={"urls": ["http://localhost:1/"]}))


def test_the_command_line_says_what_is_wrong(capsys):
    from lmm_r1_mega.cli import main

    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        assert main(["reward", "serve", "--port", str(taken.getsockname()[1])]) == 2
    assert main(["reward", "serve", "--host", "0.0.0.0"]) == 2
    assert main(["reward", "serve", "--port", "http"]) == 2
    assert main(["reward", "sell"]) == 2
    errors = capsys.readouterr().err
    assert "choose another --host or --port" in errors and "set LMM_R1_REWARD_TOKEN" in errors and "--port http is no port" in errors


@pytest.mark.parametrize(("host", "reached"), [("::1", "[::1]"), ("::", "127.0.0.1")])
def test_it_listens_on_ipv6_and_at_all_addresses_on_both(host, reached):
    server = RewardServer(host, 0, token=TOKEN, opening="")
    server.start()
    try:
        assert server.address.startswith(f"http://[{host}]:")
        answer = asyncio.run(request(server.address.replace(f"[{host}]", reached) + "/health", max_bytes=100))
        assert (answer.status, answer.body) == (200, b'{"status": "ok"}')
    finally:
        server.stop()
