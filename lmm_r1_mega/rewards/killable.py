"""The parent's side of the workers: jobs out, verdicts in, and whoever overstays its time is killed and replaced."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing.connection
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from lmm_r1_mega.rewards.messages import TIMEOUT, Begun, Job, Outcome, Plan, Ready, Verdict

START_LIMIT_S = 120.0
STOP_LIMIT_S = 5.0
MAX_SLOWDOWN = 20.0
"""By the clock a response may take so many times its processor time: a machine may be busy, a worker may not hang."""
LOST = "worker died"

logger = logging.getLogger(__name__)


@dataclass
class Lane:
    """One connection: the worker at its other end and what it has not answered yet."""

    connection: Connection
    deadline: float
    pid: int | None = None
    job: Job | None = None
    has_begun: bool = False
    """The worker has read `job`: its answers are on the way, and if it dies the job dies with it."""
    reason: str = LOST
    """Why the worker goes, when it goes."""

    @property
    def is_idle(self) -> bool:
        return self.pid is not None and self.job is None


class KillableWorkers:
    """Processes that answer jobs; a response past the plan's `timeout_s` costs its worker the life and itself the verdict, nothing else.

    Not for use from two threads at a time. The kernel ties the workers to the thread that started them: when it ends they end, and the
    next call starts new ones.
    """

    def __init__(self, plan: Plan, *, workers: int) -> None:
        self._plan = plan
        self._num_workers = workers
        self._timeout_s = plan.timeout_s
        self._has_shown_trace = False
        self._num_jobs = 0
        self._queue: deque[Job] = deque()
        self._verdicts: dict[tuple[str, int], Verdict] = {}
        self._lanes: list[Lane] = []
        self._start()
        self.run(())

    def run(self, jobs: Iterable[Job]) -> dict[tuple[str, int], Verdict]:
        """(kind, place) -> verdict, for every item of every job.

        Errors: ValueError when the user's reward file cannot be used, RuntimeError when workers do not come up.
        """
        if not self._lanes:
            raise RuntimeError("the reward workers are closed: use RewardPool inside its `with` block")
        self._queue, self._verdicts = deque(jobs), {}
        try:
            while self._queue or not all(lane.is_idle for lane in self._lanes):
                self._hand_out()
                self._listen()
        except BaseException:
            self.close()
            raise
        return self._verdicts

    def close(self) -> None:
        """Ends every process and waits for them. Safe to repeat."""
        for lane in self._lanes:
            lane.connection.close()
            if lane.pid:
                _end(lane.pid)
        self._lanes = []
        try:
            self._nurse.wait(timeout=STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._nurse.kill()
            self._nurse.wait()

    def _start(self) -> None:
        pairs = [multiprocessing.Pipe() for _ in range(self._num_workers)]
        far_ends = tuple(far.fileno() for _, far in pairs)
        plan = replace(self._plan, connections=far_ends, parent=os.getpid())
        command = [sys.executable, "-P", "-m", "lmm_r1_mega.rewards.worker", plan.to_json()]
        self._nurse = subprocess.Popen(command, pass_fds=far_ends, stdin=subprocess.DEVNULL, stdout=2)
        for _, far in pairs:
            far.close()
        self._lanes = [Lane(near, deadline=time.monotonic() + START_LIMIT_S) for near, _ in pairs]

    def _restart(self) -> None:
        """All processes are gone: blames what was being judged, and starts anew unless that would never end."""
        if any(lane.pid is None and lane.reason != TIMEOUT for lane in self._lanes):
            raise RuntimeError("the reward workers end before they are ready: their own message stands above")
        for lane in self._lanes:
            if lane.job and not lane.has_begun:
                self._queue.appendleft(lane.job)
            else:
                self._blame(lane)
        self.close()
        self._start()

    def _hand_out(self) -> None:
        for lane in self._lanes:
            if not self._queue:
                return
            if lane.is_idle:
                self._num_jobs += 1
                lane.job, lane.has_begun = replace(self._queue.popleft(), number=self._num_jobs), False
                lane.deadline = time.monotonic() + self._limit(lane.job)
                try:
                    lane.connection.send(lane.job)
                except OSError:
                    return self._restart()

    def _limit(self, job: Job) -> float:
        """Seconds until the next answer is due.

        Rules only compute, and the worker itself ends with its processor time. A user's function may also wait, so that the clock is
        its limit; it answers once for all its responses.
        """
        return self._timeout_s * (len(job.items) if job.kind == "function" else MAX_SLOWDOWN)

    def _listen(self) -> None:
        """Takes what the workers have sent, then kills those that are late; waits for whichever comes first."""
        busy = [lane for lane in self._lanes if not lane.is_idle]
        patience = max(0.0, min((lane.deadline for lane in busy), default=0.0) - time.monotonic())
        heard = multiprocessing.connection.wait([lane.connection for lane in busy], timeout=patience)
        for lane in busy:
            if lane.connection in heard:
                try:
                    message = lane.connection.recv()
                except (EOFError, OSError):
                    return self._restart()
                self._take(lane, message)
            elif time.monotonic() >= lane.deadline:
                self._kill(lane)

    def _take(self, lane: Lane, message: Any) -> None:
        if isinstance(message, Ready):
            if message.problem:
                raise ValueError(message.problem)
            lane.reason = message.reason or lane.reason
            self._replace(lane, message.pid)
        elif lane.pid is None:
            return  # the last words of a worker that was late
        elif isinstance(message, Begun):
            lane.has_begun = lane.job is not None and lane.job.number == message.number
        elif lane.job and lane.has_begun and isinstance(message, Outcome):
            self._settle_call(lane.job, message)
            lane.job = None
        elif lane.job and lane.has_begun:
            self._verdicts[lane.job.kind, lane.job.items[0][0]] = message
            rest = replace(lane.job, items=lane.job.items[1:])
            lane.job, lane.deadline = rest if rest.items else None, time.monotonic() + self._limit(rest)

    def _replace(self, lane: Lane, pid: int) -> None:
        """A new worker: it finds a job that its predecessor had not read; one that had begun is settled here."""
        if lane.job and not lane.has_begun and lane.reason != TIMEOUT:
            lane.deadline = time.monotonic() + self._limit(lane.job)
        else:
            self._blame(lane)
        lane.pid = pid

    def _kill(self, lane: Lane) -> None:
        if lane.pid is None:
            raise RuntimeError(f"a reward worker is not ready after {START_LIMIT_S:.0f} s: look at what reward.function does at import")
        _end(lane.pid)
        lane.pid, lane.reason, lane.deadline = None, TIMEOUT, time.monotonic() + START_LIMIT_S

    def _blame(self, lane: Lane) -> None:
        """The worker has gone: what it was judging is invalid, the rest of its job goes back to the queue."""
        job, reason = lane.job, lane.reason
        lane.job, lane.reason = None, LOST
        if job is None:
            return
        if job.kind == "function":
            return self._settle_call(job, Outcome([], f"function: {reason}"))
        self._verdicts[job.kind, job.items[0][0]] = Verdict({}, reason)
        if len(job.items) > 1:
            self._queue.appendleft(replace(job, items=job.items[1:]))

    def _settle_call(self, job: Job, outcome: Outcome) -> None:
        """Records what a user's function gave; a failed call is repeated one response at a time, so that only the guilty lose."""
        if outcome.failure and outcome.trace and not self._has_shown_trace:
            self._has_shown_trace = True
            logger.warning("reward.function failed; its responses are invalid. The first traceback:\n%s", outcome.trace)
        if outcome.failure and len(job.items) > 1:
            self._queue.extendleft(replace(job, items=(item,)) for item in reversed(job.items))
            return
        verdicts = [Verdict({}, outcome.failure)] if outcome.failure else outcome.verdicts
        for (place, _), verdict in zip(job.items, verdicts, strict=True):
            self._verdicts[job.kind, place] = verdict


def _end(pid: int) -> None:
    """Kills a worker and what a user's function has started there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
