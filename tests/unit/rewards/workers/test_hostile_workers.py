"""Reward files that lie to the parent, leave daemons behind and look for keys: the parent reads on, and nothing is left."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.rewards.workers.pool import RewardInput, RewardPool

PREAMBLE = """
import json, os, socket, stat, struct, sys, threading, time

def connection():
    [number] = [int(name) for name in os.listdir('/proc/self/fd') if _is_stream(int(name))]
    return socket.socket(fileno=os.dup(number))

def _is_stream(number):
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return False
        with socket.socket(fileno=os.dup(number)) as found:
            return found.type == socket.SOCK_STREAM and found.family == socket.AF_UNIX
    except OSError:
        return False

def framed(content):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack('>I', len(body)) + body

def lie(content):
    connection().sendall(content)
    time.sleep(60)
"""


def pays(tmp_path: Path, body: str) -> Path:
    path = tmp_path / "hostile.py"
    path.write_text(f"{PREAMBLE}\ndef reward_func(queries, prompts, labels):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n")
    return path


def scores(path: Path, texts: list[str], **settings) -> list:
    limits = {"weights": {"function": 1.0}, "workers": 2, "timeout_s": 20.0} | settings
    with RewardPool(RewardSettings(function=path, **limits)) as pool:
        return pool.score([RewardInput(text, 4) for text in texts])


LIES = {
    "random bytes": ("b'\\x00\\x00\\x00\\x05junk!'", "answer is not JSON"),
    "a pickle": ("framed(__import__('pickle').dumps({'a': 1}))", "answer is not JSON"),
    "a giant frame": ("b'\\x7f\\xff\\xff\\xff' + b'x' * 100", "answer too large"),
    "a giant frame that comes": ("b'\\x00\\x50\\x00\\x00' + b'x' * (5 * 2**20)", "answer too large"),
    "deep nesting": ("framed(b'[' * 100_000)", "answer is not JSON"),
    "another type": ("framed([1, 2])", "answer is no message"),
    "an unknown message": ("framed({'Shutdown': {}})", "answer is no message"),
    "wrong fields": ("framed({'FunctionResult': {'rewards': 'x'}})", "answer is no message"),
    "too few rewards": ("framed({'FunctionResult': {'rewards': [], 'failure': None, 'trace': None}})", "answer of a wrong length"),
    "a reward of a rule": ("framed({'PartialReward': {'parts': {'function': 1.0}, 'invalid': None}})", "answer to nothing"),
}


@pytest.mark.parametrize("name", LIES)
def test_junk_ends_the_worker_and_costs_its_own_response_only(tmp_path, name):
    content, reason = LIES[name]
    path = pays(tmp_path, f"if any('lie' in q for q in queries):\n    lie({content})\nreturn [1.0] * len(queries)")
    found = scores(path, ["a", "lie", "b", "c", "d"])
    assert [one.invalid for one in found] == [None, f"function: {reason}", None, None, None]
    assert [one.reward for one in found] == [1.0, None, 1.0, 1.0, 1.0]


def test_half_a_frame_and_silence_is_a_timeout(tmp_path):
    path = pays(tmp_path, "if 'lie' in queries[0]:\n    lie(framed({'FunctionResult': {}})[:9])\nreturn [1.0] * len(queries)")
    assert [one.invalid for one in scores(path, ["lie"], timeout_s=1.0)] == ["function: timeout"]


def test_a_reward_without_its_part_is_no_reward(tmp_path):
    path = pays(tmp_path, "lie(framed({'FunctionResult': {'rewards': [{'parts': {}, 'invalid': None}], 'failure': None, 'trace': None}}))")
    assert [one.invalid for one in scores(path, ["a"])] == ["function: no reward"]


def test_a_worker_that_sends_without_end_is_ended(tmp_path):
    path = pays(
        tmp_path,
        "if 'lie' in queries[0]:\n    peer = connection()\n    while True:\n        peer.sendall(framed({'Started': {'number': 1}}) * 999)"
        "\nreturn [1.0]",
    )
    assert [one.invalid for one in scores(path, ["lie", "a"], timeout_s=1.0, workers=1)] == ["function: timeout", None]


def test_a_worker_that_lies_while_nobody_asks_is_replaced_before_the_next_job(tmp_path):
    path = pays(tmp_path, "threading.Timer(0.05, lambda: connection().sendall(b'\\xff' * 64)).start()\nreturn [1.0]")
    with RewardPool(RewardSettings(weights={"function": 1.0}, function=path, workers=1, timeout_s=20.0)) as pool:
        for _ in range(3):
            assert [one.reward for one in pool.score([RewardInput("a", 1)])] == [1.0]
            time.sleep(0.2)


DAEMON = """
def daemon(seconds):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open({pids!r}, 'a') as pids:
                pids.write(f'{{os.getpid()}} ')
            os.closerange(0, 99)
            time.sleep(seconds)
        os._exit(0)
    os.wait()
    while not os.path.exists({pids!r}):
        time.sleep(0.01)

daemon(600)
if any('hang' in q for q in queries):
    time.sleep(60)
if any('exit' in q for q in queries):
    os._exit(0)
return [1.0] * len(queries)
"""


@pytest.mark.parametrize(("text", "reason"), [("go", None), ("hang", "function: timeout"), ("exit", "function: worker died")])
def test_a_daemon_ends_with_its_worker(tmp_path, text, reason):
    path = pays(tmp_path, DAEMON.format(pids=str(tmp_path / "pids")))
    assert [one.invalid for one in scores(path, [text], timeout_s=1.0 if text == "hang" else 20.0)] == [reason]
    assert all(ended(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_a_daemon_ends_with_its_worker_while_the_pool_goes_on(tmp_path):
    path = pays(tmp_path, DAEMON.format(pids=str(tmp_path / "pids")))
    with RewardPool(RewardSettings(weights={"function": 1.0}, function=path, workers=1, timeout_s=20.0)) as pool:
        assert [one.invalid for one in pool.score([RewardInput("exit", 4)])] == ["function: worker died"]
        [pid] = map(int, (tmp_path / "pids").read_text().split())
        assert ended(pid)
        assert [one.reward for one in pool.score([RewardInput("go", 4)])] == [1.0]


def test_a_daemon_ends_with_a_parent_that_is_killed(tmp_path):
    path = pays(tmp_path, DAEMON.format(pids=str(tmp_path / "pids")))
    script = f"""
import time
from pathlib import Path
from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.rewards.workers.pool import RewardInput, RewardPool
with RewardPool(RewardSettings(weights={{"function": 1.0}}, function=Path({str(path)!r}), workers=2, timeout_s=20.0)) as pool:
    pool.score([RewardInput("a", 1)] * 4)
    print("scored", flush=True)
    time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert parent.stdout.readline() == "scored\n"
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    pids += [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
    os.killpg(parent.pid, 9)
    parent.wait()
    parent.stdout.close()
    assert len(pids) >= 4 and all(ended(pid) for pid in pids)


def ended(pid: int) -> bool:
    """Whether a process ends, waited for if need be."""
    try:
        psutil.Process(pid).wait(timeout=30)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


KEYS = ("LMM_R1_REWARD_TOKEN", "LMM_R1_JUDGE_KEY", "RAY_AUTH_TOKEN", "WANDB_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD")


def test_the_users_function_finds_no_key_in_its_environment(tmp_path, monkeypatch):
    for name in KEYS:
        monkeypatch.setenv(name, "s3cret-of-this-run")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    path = pays(
        tmp_path,
        f"""
        own = open('/proc/self/environ').read() + open(f'/proc/{{os.getppid()}}/environ').read()
        found = [name for name in {KEYS} if name in os.environ] + (['/proc'] if 's3cret' in own else [])
        return [float(len(found) + ('TOKENIZERS_PARALLELISM' not in os.environ))] * len(queries)
        """,
    )
    assert [one.reward for one in scores(path, ["a"])] == [0.0]
