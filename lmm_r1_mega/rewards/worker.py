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

from lmm_r1_mega.rewards import user_function
from lmm_r1_mega.rewards.framing import frame, receive
from lmm_r1_mega.rewards.messages import Begun, Job, Message, Plan, Ready, RewardInput, Verdict, spelled
from lmm_r1_mega.rewards.rules import gold_verdict, judge

OUT_OF_MEMORY_STATUS = 109  # a number that nobody else exits with


def live(plan: Plan, connection: socket.socket) -> NoReturn:
    """A worker's life and its end, which runs no cleanup of what it shares with the process that forked it."""
    status = 1
    try:
        _work(plan, connection)
    except (EOFError, ConnectionError):
        status = 0
    except MemoryError:
        status = OUT_OF_MEMORY_STATUS
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _work(plan: Plan, connection: socket.socket) -> NoReturn:
    """Announces itself and answers jobs until its parent closes the connection, which raises EOFError or ConnectionError."""

    def say(message: Message) -> None:
        connection.sendall(frame(spelled(message)))

    path = Path(plan.function) if plan.function else None
    try:
        function = user_function.load(path) if path else None
    except ValueError as problem:
        say(Ready(str(problem)))
        receive(connection)
        raise
    _limit_memory(plan.memory_mib)
    say(Ready())
    while True:
        job = Job.from_json(receive(connection))
        say(Begun(job.number))
        if job.kind == "function" and function and path:
            say(user_function.call(function, [given for _, given in job.items], path))
            continue
        for _, given in job.items:
            say(_verdict(job, given, plan))


def _verdict(job: Job, given: RewardInput, plan: Plan) -> Verdict:
    with _processor_limit(plan.timeout_s):
        return gold_verdict(given, plan.terms) if job.kind == "gold" else judge(given, plan.terms)


@contextmanager
def _processor_limit(seconds: float) -> Iterator[None]:
    """The kernel ends this process once it has computed for so long inside the block, whatever it is doing: SIGPROF has no handler.

    Processor time, so that a verdict does not depend on what else the machine does.
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
