"""The parent's side of the workers: jobs out, verdicts in, and whoever overstays its time is killed and replaced."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter

from lmm_r1_mega.process.linux import WAIT_S
from lmm_r1_mega.process.secret_variables import without_secrets
from lmm_r1_mega.rewards.framing import Channel, Unreadable
from lmm_r1_mega.rewards.messages import TIMEOUT, Begun, Job, Message, Outcome, Plan, Ready, Started, Verdict

START_LIMIT_S = 120.0
STOP_LIMIT_S = 5.0
MAX_SLOWDOWN = 20.0
"""By the clock a response may take so many times its processor time: a machine may be busy, a worker may not hang."""
MAX_LOST = 3
"""Workers in a row that end before they are ready, or before they begin with one job."""
LOST = "worker died"
_MESSAGES: dict[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in (Ready, Begun, Outcome, Verdict)}

logger = logging.getLogger(__name__)


@dataclass
class WorkerHandle:
    """A worker, and what it has not answered yet. Without a channel it has yet to come."""

    channel: Channel | None = None
    pid: int = 0
    deadline: float = field(default_factory=lambda: time.monotonic() + START_LIMIT_S)
    is_ready: bool = False
    job: Job | None = None
    has_begun: bool = False
    """The worker has read `job`: its answers are on the way, and if it dies the job dies with it."""
    reason: str | None = None
    """Why it was ended here."""

    @property
    def is_idle(self) -> bool:
        return self.is_ready and self.job is None and self.reason is None

    @property
    def speaks(self) -> Channel | None:
        """Its channel, where it is to be heard: not once it was ended or has gone."""
        return self.channel if self.channel and not self.channel.is_closed and self.reason is None else None


class KillableWorkers:
    """Processes that answer jobs; a response past the plan's `timeout_s` costs its worker the life and itself the verdict, nothing else.

    Not for use from two threads at a time.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._timeout_s = plan.timeout_s
        self._has_shown_trace = False
        self._num_jobs = self._num_lost = 0
        self._queue: deque[Job] = deque()
        self._verdicts: dict[tuple[str, int], Verdict] = {}
        self._workers: list[WorkerHandle] = []
        self._start()
        self.run(())

    def run(self, jobs: Iterable[Job]) -> dict[tuple[str, int], Verdict]:
        """(kind, place) -> verdict, for every item of every job.

        Errors: ValueError when the user's reward file cannot be used, RuntimeError when workers do not come up.
        """
        if not self._workers:
            raise RuntimeError("the reward workers are closed: use RewardPool inside its `with` block")
        self._queue, self._verdicts = deque(jobs), {}
        try:
            while self._queue or not all(worker.is_idle for worker in self._workers):
                self._hand_out()
                self._listen()
        except BaseException:
            self.close()
            raise
        return self._verdicts

    def close(self) -> None:
        """Ends every process and waits for them. Safe to repeat."""
        self._server.close()
        for worker in self._workers:
            if worker.channel:
                worker.channel.close()
        self._workers = []
        try:
            self._process.wait(timeout=STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        self._server, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        plan = replace(self._plan, control=far.fileno())
        command = [sys.executable, "-P", "-m", "lmm_r1_mega.rewards.fork_server", plan.to_json()]
        environment = without_secrets(os.environ)
        with far:
            # A session of its own: whoever ends this process and its group leaves the fork server to end the workers.
            self._process = subprocess.Popen(
                command, pass_fds=[far.fileno()], stdin=subprocess.DEVNULL, stdout=2, env=environment, start_new_session=True
            )
        self._server.setblocking(False)
        self._workers = [WorkerHandle() for _ in range(plan.workers)]

    def _restart(self) -> None:
        """All processes are gone: settles what was being judged, and starts anew unless that would never end."""
        lost = self._workers
        if not all(worker.is_ready or worker.reason for worker in lost):
            self._count_lost_start()
        for worker in lost:
            self._settle(worker, LOST)
        self.close()
        self._start()

    def _count_lost_start(self) -> None:
        self._num_lost += 1
        if self._num_lost == MAX_LOST:
            raise RuntimeError("the reward workers end before they are ready: their own message stands above")

    def _hand_out(self) -> None:
        for worker in self._workers:
            if self._queue and worker.is_idle and worker.channel:
                self._num_jobs += 1
                worker.job, worker.has_begun = replace(self._queue.popleft(), number=self._num_jobs), False
                worker.deadline = time.monotonic() + self._limit(worker.job)
                worker.channel.post(asdict(worker.job))

    def _limit(self, job: Job) -> float:
        """Seconds until the next answer is due.

        Rules only compute, and the worker itself ends with its processor time. A user's function may also wait, so that the clock is
        its limit; it answers once for all its responses.
        """
        return self._timeout_s * (len(job.items) if job.kind == "function" else MAX_SLOWDOWN)

    def _listen(self) -> None:
        """Takes what has been sent, then ends the workers that are late; waits for whichever comes first."""
        busy = [worker for worker in self._workers if not worker.is_idle]
        patience = min(WAIT_S, max(0.0, min((worker.deadline for worker in busy), default=0.0) - time.monotonic()))
        with selectors.DefaultSelector() as selector:
            selector.register(self._server, selectors.EVENT_READ)
            for worker in busy:
                if channel := worker.speaks:
                    selector.register(channel, selectors.EVENT_READ | (selectors.EVENT_WRITE if channel.has_unsent else 0), worker)
            heard = [key.data for key, _ in selector.select(patience)]
        for worker in heard:
            if worker is not None:
                self._hear(worker)
        for worker in busy:
            if not worker.is_idle and time.monotonic() >= worker.deadline:
                self._end_late(worker)
        if None in heard:
            self._take_news()

    def _hear(self, worker: WorkerHandle) -> None:
        """What a worker has sent. It runs a user's code: what cannot be read ends it."""
        if channel := worker.speaks:
            channel.flush()
            try:
                for content in channel.take():
                    self._take(worker, _message(content))
            except Unreadable as problem:
                self._end(worker, str(problem))

    def _take(self, worker: WorkerHandle, message: Message) -> None:
        if isinstance(message, Ready):
            if message.problem:
                raise ValueError(message.problem)
            worker.is_ready, self._num_lost = True, 0
        elif isinstance(message, Begun):
            worker.has_begun = worker.job is not None and worker.job.number == message.number
        elif worker.job is None or not worker.has_begun or isinstance(message, Outcome) != (worker.job.kind == "function"):
            raise Unreadable("answer to nothing")
        elif isinstance(message, Outcome):
            self._settle_call(worker.job, message)
            worker.job = None
        else:
            self._verdicts[worker.job.kind, worker.job.items[0][0]] = message
            rest = replace(worker.job, items=worker.job.items[1:])
            worker.job, worker.deadline = rest if rest.items else None, time.monotonic() + self._limit(rest)

    def _end_late(self, worker: WorkerHandle) -> None:
        if not worker.is_ready or worker.reason:
            raise RuntimeError(f"a reward worker is not ready after {START_LIMIT_S:.0f} s: look at what reward.function does at import")
        self._end(worker, TIMEOUT)

    def _end(self, worker: WorkerHandle, reason: str) -> None:
        """The fork server kills it and all that it has started, and sends another."""
        worker.reason, worker.deadline = reason, time.monotonic() + START_LIMIT_S
        with contextlib.suppress(OSError):  # the fork server has gone too, as `_take_news` will see
            self._server.send(str(worker.pid).encode())

    def _take_news(self) -> None:
        """A worker that has come, in the place of one that has gone; or the end of all."""
        try:
            packet, connections, _, _ = socket.recv_fds(self._server, 2**12, 1, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            return self._restart()
        news = Started(**json.loads(packet))
        before = self._workers[news.place]
        self._hear(before)  # its last words
        if before.pid and not before.is_ready and not before.reason:
            self._count_lost_start()
        self._settle(before, news.reason or LOST)
        if before.channel:
            before.channel.close()
        self._workers[news.place] = WorkerHandle(Channel(socket.socket(fileno=connections[0])), news.pid)

    def _settle(self, worker: WorkerHandle, reason: str) -> None:
        """The worker has gone: what it was judging is invalid, the rest of its job goes back to the queue."""
        job, reason = worker.job, worker.reason or reason
        if job is None:
            return
        if not worker.has_begun and reason != TIMEOUT and job.num_lost < MAX_LOST:
            self._queue.appendleft(replace(job, num_lost=job.num_lost + 1))
        elif job.kind == "function":
            self._settle_call(job, Outcome([], f"function: {reason}"))
        else:
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
        if len(verdicts) != len(job.items):
            raise Unreadable("answer of a wrong length")
        for (place, _), verdict in zip(job.items, verdicts, strict=True):
            self._verdicts[job.kind, place] = verdict


def _message(content: Any) -> Message:
    """A worker's message from JSON. Raises: Unreadable for anything else."""
    try:
        [(kind, fields)] = content.items()
        return _MESSAGES[kind].validate_python(fields)
    except (AttributeError, KeyError, TypeError, ValueError):  # of pydantic too
        raise Unreadable("answer is no message") from None
