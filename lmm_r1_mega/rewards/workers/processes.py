"""The scoring process's side of the workers: jobs out, rewards in. `lifecycle` decides; here is what it decides about."""

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
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from lmm_r1_mega.process.linux import WAIT_S
from lmm_r1_mega.process.secret_variables import without_secrets
from lmm_r1_mega.rewards.messages import PartialReward
from lmm_r1_mega.rewards.workers.channel import Channel, UnreadableFrame
from lmm_r1_mega.rewards.workers.lifecycle import START_LIMIT_S, Fault, Gone, Worker, transition
from lmm_r1_mega.rewards.workers.messages import TIMEOUT, FunctionResult, Job, JobKind, Message, NewWorker, Ready, Started, WorkerPlan

STOP_LIMIT_S = 5.0
_MESSAGES: dict[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in (Ready, Started, FunctionResult, PartialReward)}

logger = logging.getLogger(__name__)


@dataclass
class WorkerHandle:
    """A worker's state and its process; that is to come as long as there is no channel."""

    state: Worker
    channel: Channel | None = None
    pid: int = 0

    @property
    def audible_channel(self) -> Channel | None:
        """Its channel, unless it has gone or was killed: then nothing that it says counts."""
        return self.channel if self.channel and self.channel.is_open and self.state.phase != "killed" else None


class WorkerProcesses:
    """Processes that answer jobs; a response that overruns its limits kills that worker only, and is invalid alone.

    Not for use from two threads at a time.
    """

    def __init__(self, plan: WorkerPlan) -> None:
        self._plan = plan
        self._num_jobs = 0
        self._has_shown_trace = False
        self._queue: deque[Job] = deque()
        self._rewards: dict[tuple[JobKind, int], PartialReward] = {}
        self._handles = [WorkerHandle(Worker("starting", time.monotonic() + START_LIMIT_S)) for _ in range(plan.workers)]
        self._start_fork_server()
        self.run(())

    def run(self, jobs: Iterable[Job]) -> dict[tuple[JobKind, int], PartialReward]:
        """(kind, index) -> reward, for every item of every job.

        Errors: ValueError when the user's reward file cannot be used, RuntimeError when workers do not come up.
        """
        if not self._handles:
            raise RuntimeError("the reward workers are closed, fix: use RewardPool inside its `with` block")
        self._queue, self._rewards = deque(jobs), {}
        try:
            while self._queue or not all(handle.state.phase == "idle" for handle in self._handles):
                self._assign_jobs()
                self._listen()
        except BaseException:
            self.close()
            raise
        return self._rewards

    def close(self) -> None:
        """Ends every process and waits for them. Safe to repeat."""
        self._end_fork_server()
        self._handles = []

    def _start_fork_server(self) -> None:
        self._control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        plan = replace(self._plan, control=far.fileno())
        command = [sys.executable, "-P", "-m", "lmm_r1_mega.rewards.workers.fork_server", plan.to_json()]
        environment = without_secrets(os.environ)
        with far:
            # A session of its own: whoever ends this process and its group leaves the fork server to end the workers.
            self._process = subprocess.Popen(
                command, pass_fds=[far.fileno()], stdin=subprocess.DEVNULL, stdout=2, env=environment, start_new_session=True
            )
        self._control.setblocking(False)

    def _end_fork_server(self) -> None:
        self._control.close()
        for handle in self._handles:
            if handle.channel:
                handle.channel.close()
            handle.channel = None
        try:
            self._process.wait(timeout=STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _assign_jobs(self) -> None:
        for handle in self._handles:
            if self._queue and handle.state.phase == "idle":
                self._num_jobs += 1
                self._apply(handle, replace(self._queue.popleft(), number=self._num_jobs))

    def _listen(self) -> None:
        """Hears what has been sent, then ends the workers that are late; waits for whichever comes first."""
        busy = [handle for handle in self._handles if handle.state.phase != "idle"]
        deadline = min((handle.state.deadline for handle in busy), default=0.0)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            for handle in busy:
                if channel := handle.audible_channel:
                    selector.register(channel, selectors.EVENT_READ | (selectors.EVENT_WRITE if channel.has_unsent else 0), handle)
            heard = [key.data for key, _ in selector.select(min(WAIT_S, max(0.0, deadline - time.monotonic())))]
        for handle in heard:
            if handle:
                self._hear(handle)
        for handle in busy:
            if time.monotonic() >= handle.state.deadline:
                self._apply(handle, Fault(TIMEOUT))
        if None in heard:
            self._take_news()

    def _hear(self, handle: WorkerHandle) -> None:
        """What a worker has sent. It runs a user's code: what cannot be read ends it."""
        channel = handle.audible_channel
        if channel is None:
            return
        channel.flush()
        try:
            for content in channel.receive():
                self._apply(handle, _message(content))
                if handle.state.phase == "killed":
                    return
        except UnreadableFrame as problem:
            self._apply(handle, Fault(str(problem)))

    def _take_news(self) -> None:
        """A worker that has come, in the place of one that has gone; or the end of all, after which all start anew."""
        try:
            packet, connections, _, _ = socket.recv_fds(self._control, 2**12, 1, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if packet:
            news = NewWorker(**json.loads(packet))
            handle = self._handles[news.index]
            self._hear(handle)  # its last words
            if handle.channel:
                self._apply(handle, Gone(news.reason))
                handle.channel.close()
            handle.channel, handle.pid = Channel(socket.socket(fileno=connections[0])), news.pid
            return
        for handle in self._handles:
            self._apply(handle, Gone())
        self._end_fork_server()
        self._start_fork_server()

    def _apply(self, handle: WorkerHandle, event: Job | Message | Fault | Gone) -> None:
        handle.state, effects = transition(handle.state, event, time.monotonic())
        if effects.send and handle.channel:
            handle.channel.send(asdict(effects.send))
        if effects.kill:
            with contextlib.suppress(OSError):  # the fork server has gone too, as `_take_news` will see
                self._control.send(str(handle.pid).encode())
        self._rewards.update(effects.rewards)
        self._queue.extendleft(reversed(effects.requeue))
        if effects.trace and not self._has_shown_trace:
            self._has_shown_trace = True
            logger.warning("reward.function failed; its responses are invalid. The first traceback:\n%s", effects.trace)


def _message(content: Any) -> Message:
    """A worker's message from JSON. Raises: UnreadableFrame for anything else."""
    try:
        [(kind, fields)] = content.items()
        return _MESSAGES[kind].validate_python(fields)
    except (AttributeError, KeyError, TypeError, ValueError):  # of pydantic too
        raise UnreadableFrame("answer is no message") from None
