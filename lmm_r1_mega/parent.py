"""The process that a terminal or a scheduler sees of a run: it owns signals, exit status and all other processes.

Its child, the driver, holds torch, Ray and vLLM; here is the standard library alone, so that nothing that those do takes it down.

SIGTERM, SIGUSR1   finish the step, save, 75         Ctrl-C         finish the step, save, 130
before any step    end at once, nothing is to save   Ctrl-C twice   end at once, 130

However the driver ends, no process of the run and no temporary file is left, and `failure.json` in the run's folder says why it was
no success. When this process itself is killed, the kernel kills the driver.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lmm_r1_mega.cluster.session_folder import FOLDER_VARIABLE, WORKERS_TMP, session_folder
from lmm_r1_mega.errors import DONE, INTERNAL, INTERRUPTED, REQUEUE
from lmm_r1_mega.processes import adopting_orphans, children, kill_descendants
from lmm_r1_mega.progress import LINE_VARIABLE, Progress

TICK_S = 1.0
LEAVE_LIMIT_S = 60.0
"""Time that a driver has to end after its last words."""
BLOCK_BYTES = 65536
FAILURE_FILE = "failure.json"
ASKED = {signal.SIGTERM: REQUEUE, signal.SIGUSR1: REQUEUE, signal.SIGINT: INTERRUPTED}
"""Signal that asks a run to end -> exit status."""
OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""Signals that end a driver from outside; others are crashes."""


@dataclass(frozen=True)
class End:
    """How a run ends."""

    status: int
    cause: str = ""
    process: str = "driver"


def run(arguments: list[str]) -> int:
    """Run a verb of the command line as a child, and return the exit status."""
    warnings = [f"-W{option}" for option in sys.warnoptions]
    return supervise([sys.executable, *warnings, "-P", "-m", "lmm_r1_mega.cli", *arguments])


def supervise(command: list[str]) -> int:
    """Run a driver, and return the exit status when no process of it is left."""
    before = frozenset(children()[os.getpid()])
    with session_folder() as folder, adopting_orphans():
        driver = Driver(command, folder)
        try:
            with caught_signals() as signals:
                end = driver.wait(signals)
        finally:
            left = kill_descendants(but=before)
    for pid in left:
        print(f"lmm-r1-mega: process {pid} cannot be killed", file=sys.stderr)
    conclude(driver.progress, end)
    return end.status


class Driver:
    """The child: what it says, what it is asked, and how it ends."""

    def __init__(self, command: list[str], folder: Path) -> None:
        """All temporary files of the run lie in `folder`."""
        self.progress = Progress()
        self._line, far = socket.socketpair()
        own = {LINE_VARIABLE: f"{far.fileno()} {os.getpid()}", FOLDER_VARIABLE: str(folder), "TMPDIR": str(folder / WORKERS_TMP)}
        environment = {**os.environ, **own}
        # A session of its own: Ctrl-C reaches this process alone.
        self._process = subprocess.Popen(command, env=environment, pass_fds=[far.fileno()], start_new_session=True)
        far.close()
        self._unread = b""
        self._is_line_open = True
        self._leaves_before = float("inf")
        self._asked: int | None = None
        self._num_interrupts = 0
        self._end: End | None = None

    def wait(self, signals: socket.socket) -> End:
        """Listen to the driver and to signals until the driver has ended."""
        while self._process.poll() is None:
            ready, _, _ = select.select([signals, *self._open_line()], [], [], TICK_S)
            if self._line in ready:
                self._listen()
            if signals in ready:
                self._obey(signals.recv(BLOCK_BYTES))
            if time.monotonic() > self._leaves_before:
                self._process.kill()
        self._line.setblocking(False)
        with contextlib.suppress(BlockingIOError):  # what the driver forked may still hold the other end
            while self._is_line_open:
                self._listen()
        return self._end or self._attributed(self._process.returncode)

    def _obey(self, numbers: bytes) -> None:
        """Ask the driver to end, or end it, for each signal that is a request."""
        for number in numbers:
            if number in ASKED:
                self._asked = self._asked or ASKED[signal.Signals(number)]
                self._num_interrupts += number == signal.SIGINT
                self._pass_on(signal.Signals(number), self._asked)

    def _pass_on(self, number: signal.Signals, status: int) -> None:
        if self._num_interrupts > 1:
            self._end_at_once(End(INTERRUPTED, "interrupted twice: ended at once"))
        elif not self.progress.can_save:
            self._end_at_once(End(status, f"{_word(status)} before the first step: nothing was to be saved"))
        else:
            again = "; Ctrl-C once more ends at once" if number == signal.SIGINT else ""
            print(f"lmm-r1-mega: finishing step {self.progress.step + 1}, then saving{again}", file=sys.stderr, flush=True)
            self._process.send_signal(signal.SIGTERM)

    def _end_at_once(self, end: End) -> None:
        """kill -9."""
        self._end = self._end or end
        self._process.kill()

    def _open_line(self) -> list[socket.socket]:
        return [self._line] if self._is_line_open else []

    def _listen(self) -> None:
        """Take what the driver says."""
        block = self._line.recv(BLOCK_BYTES)
        self._is_line_open = bool(block)
        *whole, self._unread = (self._unread + block).split(b"\n")
        for line in whole:
            self._hear(Progress.from_json(line))

    def _hear(self, progress: Progress) -> None:
        self.progress = progress
        if progress.status is not None:
            self._leaves_before = time.monotonic() + LEAVE_LIMIT_S

    def _attributed(self, returncode: int) -> End:
        """How the driver ended: by its own last words, else by its exit status or signal."""
        said = self.progress
        if said.status is not None:
            status = self._asked if self._asked is not None and said.status == REQUEUE else said.status
            return End(status, said.cause, said.process)
        if returncode >= 0:
            return End(INTERNAL, f"the driver ended with status {returncode} and without a word")
        number = signal.Signals(-returncode)
        if number in OUTSIDE:
            return End(REQUEUE, f"the driver was killed ({number.name}): by somebody, or by the system where memory ran out")
        return End(INTERNAL, f"the driver crashed ({number.name})")


@contextmanager
def caught_signals() -> Iterator[socket.socket]:
    """A socket from which the numbers of signals can be read: those of `ASKED`, as far as they are not ignored, and SIGCHLD."""
    near, far = socket.socketpair()
    for end in (near, far):
        end.setblocking(False)
    caught = [number for number in (*ASKED, signal.SIGCHLD) if signal.getsignal(number) is not signal.SIG_IGN]
    handlers = {number: signal.signal(number, lambda number, frame: None) for number in caught}
    wake_up = signal.set_wakeup_fd(far.fileno(), warn_on_full_buffer=False)
    try:
        yield near
    finally:
        signal.set_wakeup_fd(wake_up)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        near.close()
        far.close()


def conclude(progress: Progress, end: End) -> None:
    """Say how the run ended and how it goes on, and leave the same in its folder."""
    if end.status == DONE:
        if progress.folder:
            Path(progress.folder, FAILURE_FILE).unlink(missing_ok=True)
        return
    if end.cause:
        print(f"lmm-r1-mega: {end.cause}", file=sys.stderr)
    if progress.folder:
        resume = shlex.join(["lmm-r1-mega", "resume", progress.folder])
        print(f"lmm-r1-mega: all of the run is in {progress.folder}; go on with `{resume}`", file=sys.stderr)
        write_failure(Path(progress.folder), failure(progress, end, resume=resume))


def failure(progress: Progress, end: End, *, resume: str) -> Mapping[str, str | int]:
    """What `failure.json` holds."""
    return {
        "status": end.status,
        "cause": end.cause,
        "process": end.process,
        "phase": progress.phase,
        "step": progress.step,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "resume": resume,
    }


def write_failure(folder: Path, content: Mapping[str, str | int]) -> None:
    """Replace `failure.json`; where there is no room for it, the messages on the terminal have to do."""
    partial = folder / f"{FAILURE_FILE}.partial"
    with contextlib.suppress(OSError):
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(folder / FAILURE_FILE)


def _word(status: int) -> str:
    return "interrupted" if status == INTERRUPTED else "asked to end"
