"""The processes that judge: one nurse imports everything once and forks the workers; a killed worker is forked again in milliseconds.

Run as `python -P -m lmm_r1_mega.rewards.worker PLAN`, never imported by the parent's main module, so it lives beside threads,
torch and Ray. Nurse and workers die with the process that started them (Linux: PR_SET_PDEATHSIG), busy or not.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from lmm_r1_mega.rewards import user_function
from lmm_r1_mega.rewards.equality import is_correct
from lmm_r1_mega.rewards.messages import OUT_OF_MEMORY, TIMEOUT, Begun, Job, Plan, Ready, RewardInput, Verdict
from lmm_r1_mega.rewards.rules import gold_verdict, judge

PR_SET_PDEATHSIG = 1
OUT_OF_MEMORY_STATUS = 109  # a number that nobody else exits with
REASONS = {-signal.SIGPROF: TIMEOUT, OUT_OF_MEMORY_STATUS: OUT_OF_MEMORY}
"""Exit code of a worker -> why the response that it was judging is invalid."""
WARM_UP = (r"\frac{\sqrt{3}}{2}", r"2\pi r^2+1", "1<x<2", "(1,2]", r"\{1,2\}", "x=3", r"5\times 10^{3}", "-3.5")


def main(plan: Plan) -> NoReturn:
    """The nurse: forks a worker for each connection and again for each that is killed; ends when all ended by themselves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _die_with(plan.parent)
    for text in WARM_UP:
        is_correct(text, f"0+{text}")
    workers = {_fork(plan, connection): connection for connection in plan.connections}
    while workers:
        pid, status = os.wait()
        connection = workers.pop(pid)
        if not _is_closed(connection):
            workers[_fork(plan, connection, reason=REASONS.get(os.waitstatus_to_exitcode(status)))] = connection
    os._exit(0)


def _is_closed(connection: int) -> bool:
    """Whether the other end is gone. How a worker ends says nothing: a user's function may call `os._exit(0)`."""
    hang_up = select.poll()
    hang_up.register(connection, select.POLLHUP)
    return bool(hang_up.poll(0))


def _fork(plan: Plan, connection: int, *, reason: str | None = None) -> int:
    nurse = os.getpid()
    pid = os.fork()
    if pid == 0:
        _die_with(nurse)
        os.setpgid(0, 0)  # so that what a user's function starts can be killed with it
        _live(plan, Connection(connection), reason=reason)
    return pid


def _live(plan: Plan, connection: Connection, *, reason: str | None) -> NoReturn:
    """A worker's life and its end, which runs no cleanup of what it shares with the nurse."""
    status = 1
    try:
        _work(plan, connection, reason=reason)
    except (EOFError, ConnectionError):
        status = 0
    except MemoryError:
        status = OUT_OF_MEMORY_STATUS
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _work(plan: Plan, connection: Connection, *, reason: str | None) -> NoReturn:
    """Announces itself and answers jobs until its parent closes the connection, which raises EOFError or ConnectionError."""
    path = Path(plan.function) if plan.function else None
    try:
        function = user_function.load(path) if path else None
    except ValueError as problem:
        connection.send(Ready(os.getpid(), str(problem)))
        connection.recv()
        raise
    _limit_memory(plan.memory_mib)
    connection.send(Ready(os.getpid(), reason=reason))
    while True:
        job: Job = connection.recv()
        connection.send(Begun(job.number))
        if job.kind == "function" and function and path:
            connection.send(user_function.call(function, [given for _, given in job.items], path))
            continue
        for _, given in job.items:
            connection.send(_verdict(job, given, plan))


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


def _die_with(parent: int) -> None:
    """Asks the kernel to kill this process when its parent ends, however that ends and whatever this process is doing."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _limit_memory(memory_mib: int) -> None:
    """Address space may grow by this much from here on; a bomb then meets MemoryError before the machine meets the bomb."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + memory_mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(Plan.from_json(sys.argv[1]))
