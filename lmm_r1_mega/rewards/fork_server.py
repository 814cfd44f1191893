"""The process that forks the workers: it imports everything once, and forks a worker that has ended again in milliseconds.

Run as `python -P -m lmm_r1_mega.rewards.fork_server PLAN`, never imported by the parent's main module, so it lives beside threads,
torch and Ray. It runs no user's code. Every worker gets a connection of its own, whose other end goes to the parent with the news.

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

from lmm_r1_mega.processes import adopt_orphans, die_with
from lmm_r1_mega.rewards.answers.equality import is_correct
from lmm_r1_mega.rewards.messages import OUT_OF_MEMORY, TIMEOUT, Plan, Started
from lmm_r1_mega.rewards.worker import OUT_OF_MEMORY_STATUS, live

REASONS = {-signal.SIGPROF: TIMEOUT, OUT_OF_MEMORY_STATUS: OUT_OF_MEMORY}
"""Exit code of a worker -> why the response that it was judging is invalid."""
WARM_UP = (r"\frac{\sqrt{3}}{2}", r"2\pi r^2+1", "1<x<2", "(1,2]", r"\{1,2\}", "x=3", r"5\times 10^{3}", "-3.5")


def main(plan: Plan) -> NoReturn:
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
    """The workers by process id, and the connection to the parent."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._parent = socket.socket(fileno=plan.control)
        self._alarm, alarm = os.pipe()
        os.set_blocking(alarm, False)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # so that the end of a worker is heard of in `select`
        self._workers: dict[int, int] = {}
        """Process id -> place among the workers."""

    def serve(self) -> None:
        """Until the parent is gone. A packet from it is the process id of a worker that is to end."""
        for place in range(self._plan.workers):
            self._fork(place, reason=None)
        while True:
            readable, _, _ = select.select([self._parent.fileno(), self._alarm], [], [])
            if self._alarm in readable:
                os.read(self._alarm, 2**12)
            if self._parent.fileno() in readable:
                packet = self._parent.recv(2**12)
                if not packet:
                    return
                if int(packet) in self._workers:
                    os.kill(int(packet), signal.SIGKILL)
            self._replace_ended()

    def end(self) -> None:
        """Kill the workers and all that they have started."""
        self._workers = {}
        self._sweep()

    def _replace_ended(self) -> None:
        ended = {pid: status for pid, status in _ended() if pid in self._workers}
        places = {self._workers.pop(pid): REASONS.get(os.waitstatus_to_exitcode(status)) for pid, status in ended.items()}
        if places:
            self._sweep()
        for place, reason in places.items():
            self._fork(place, reason=reason)

    def _sweep(self) -> None:
        """Kill what workers have left behind. Its children come here in turn, until there are none."""
        while strays := [child.pid for child in psutil.Process().children() if child.pid not in self._workers]:
            for pid in strays:
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)

    def _fork(self, place: int, *, reason: str | None) -> None:
        """A worker; the parent is told, with its end of the connection."""
        near, far = socket.socketpair()
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for mine in (near, self._parent):
                mine.close()
            die_with(server)
            adopt_orphans()
            os.setpgid(0, 0)
            live(self._plan, far)
        far.close()
        self._workers[pid] = place
        with near:
            socket.send_fds(self._parent, [json.dumps(asdict(Started(place, pid, reason))).encode()], [near.fileno()])


def _ended() -> list[tuple[int, int]]:
    """Process id and status of the children that have ended, those included that came here from a worker."""
    ended = []
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append(found)
    return ended


if __name__ == "__main__":
    main(Plan.from_json(sys.argv[1]))
