"""A worker: reads jobs and answers them, within its limits, until its parent is gone. It may be killed at any time."""

from __future__ import annotations

import os
import resource
import signal
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from lmm_r1_mega.rewards.rules.table import check_gold, score_response
from lmm_r1_mega.rewards.workers.channel import frame, receive
from lmm_r1_mega.rewards.workers.messages import Job, Message, Ready, Started, WorkerPlan, spelled
from lmm_r1_mega.rewards.workers.user_function import call, load

OUT_OF_MEMORY_STATUS = 109  # a number that nobody else exits with


def run_worker(plan: WorkerPlan, connection: socket.socket) -> NoReturn:
    """A worker's life and its end, which runs no cleanup of what it shares with the process that forked it."""
    status = 1
    try:
        _answer_jobs(plan, connection)
    except (EOFError, ConnectionError):
        status = 0
    except MemoryError:
        status = OUT_OF_MEMORY_STATUS
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _answer_jobs(plan: WorkerPlan, connection: socket.socket) -> NoReturn:
    """Until the parent closes the connection, which raises EOFError or ConnectionError."""

    def say(message: Message) -> None:
        connection.sendall(frame(spelled(message)))

    stream = connection.makefile("rb")
    path = Path(plan.function) if plan.function else None
    try:
        function = load(path) if path else None
    except ValueError as problem:
        say(Ready(str(problem)))
        receive(stream)
        raise
    _limit_memory(plan.memory_mib)
    say(Ready())
    while True:
        job = Job.from_json(receive(stream))
        say(Started(job.number))
        if job.kind == "function" and function and path:
            say(call(function, [item for _, item in job.items], path))
            continue
        score = check_gold if job.kind == "gold" else score_response
        for _, item in job.items:
            with _cpu_time_limit(job.timeout_s):
                reward = score(item, plan.rules)
            say(reward)


@contextmanager
def _cpu_time_limit(seconds: float) -> Iterator[None]:
    """The kernel ends this process once it has computed for so long inside the block, whatever it is doing: SIGPROF has no handler.

    CPU time, so that a score does not depend on what else the machine does.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)


def _limit_memory(memory_mib: int) -> None:
    """Address space may grow by this much from here on; a bomb then meets MemoryError before the machine meets the bomb."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + memory_mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
