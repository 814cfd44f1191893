"""The process that forks the workers: it imports everything once, and forks a worker that has ended again in milliseconds.

Run as `python -P -m lmm_r1_mega.rewards.workers.fork_server PLAN`, never imported by the parent's main module, so it lives beside
threads, torch and Ray. It runs no user's code. Every worker gets a connection of its own, whose other end goes to the parent with the
news.

Nobody outlives whom they work for. The connection to the parent closes with it, however that ends, and then all workers are ended;
the workers die with this process (Linux: PR_SET_PDEATHSIG). What a user's function starts, daemons too, has its worker above it
(PR_SET_CHILD_SUBREAPER); when that is gone it comes to this process, and is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
from dataclasses import asdict
from typing import NoReturn

import psutil

from lmm_r1_mega.process.linux import adopt_orphans, die_with
from lmm_r1_mega.rewards.answers.equality import is_correct
from lmm_r1_mega.rewards.workers.messages import OUT_OF_MEMORY, TIMEOUT, NewWorker, WorkerPlan
from lmm_r1_mega.rewards.workers.worker import OUT_OF_MEMORY_STATUS, run_worker

REASONS = {-signal.SIGPROF: TIMEOUT, OUT_OF_MEMORY_STATUS: OUT_OF_MEMORY}
"""Exit code of a worker -> why the response that it was scoring is invalid."""
WARM_UP = (r"\frac{\sqrt{3}}{2}", r"2\pi r^2+1", "1<x<2", "(1,2]", r"\{1,2\}", "x=3", r"5\times 10^{3}", "-3.5")


def main(plan: WorkerPlan) -> NoReturn:
    """Fork the workers, and again those that end; end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    adopt_orphans()
    for text in WARM_UP:
        is_correct(text, f"0+{text}")
    server = ForkServer(plan)
    with contextlib.suppress(ConnectionError):
        server.serve()
    server.end()
    os._exit(0)


class ForkServer:
    """The workers, and the connection to the parent."""

    def __init__(self, plan: WorkerPlan) -> None:
        self._plan = plan
        self._parent = socket.socket(fileno=plan.control)
        self._pids: dict[int, int] = {}
        """Index of a worker -> its process id."""
        self._ends: dict[int, int] = {}
        """Index of a worker -> a descriptor that can be read when its process has ended."""

    def serve(self) -> None:
        """Until the parent is gone. A packet from it is the process id of a worker that is to end."""
        for index in range(self._plan.workers):
            self._fork(index, reason=None)
        while True:
            readable, _, _ = select.select([self._parent.fileno(), *self._ends.values()], [], [])
            if self._parent.fileno() in readable:
                packet = self._parent.recv(2**12)
                if not packet:
                    return
                if int(packet) in self._pids.values():
                    os.kill(int(packet), signal.SIGKILL)
            for index in [index for index, end in self._ends.items() if end in readable]:
                self._replace(index)

    def end(self) -> None:
        """Kill the workers and all that they have started."""
        self._pids = {}
        self._sweep()

    def _replace(self, index: int) -> None:
        os.close(self._ends.pop(index))
        _, status = os.waitpid(self._pids.pop(index), 0)
        self._sweep()
        self._fork(index, reason=REASONS.get(os.waitstatus_to_exitcode(status)))

    def _sweep(self) -> None:
        """Kill what workers have left behind. Its children come here in turn, until there are none."""
        while strays := [child.pid for child in psutil.Process().children() if child.pid not in self._pids.values()]:
            for pid in strays:
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)

    def _fork(self, index: int, *, reason: str | None) -> None:
        """A worker; the parent is told, with its end of the connection."""
        near, far = socket.socketpair()
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            near.close()
            self._parent.close()
            for end in self._ends.values():
                os.close(end)
            die_with(server)
            adopt_orphans()
            os.setpgid(0, 0)
            run_worker(self._plan, far)
        far.close()
        self._pids[index], self._ends[index] = pid, os.pidfd_open(pid)
        with near:
            socket.send_fds(self._parent, [json.dumps(asdict(NewWorker(index, pid, reason))).encode()], [near.fileno()])


if __name__ == "__main__":
    main(WorkerPlan.from_json(sys.argv[1]))
