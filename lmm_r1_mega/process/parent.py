"""The process that a terminal or a scheduler sees of a run: it owns signals, exit status and all other processes.

Its child, the driver, holds torch, Ray and vLLM; here is the standard library alone, so that nothing that those do takes it down.

SIGTERM, SIGUSR1   finish the step, save, 75         Ctrl-C         finish the step, save, 130
before any step    end at once, nothing is to save   Ctrl-C twice   end at once, 130

However the driver ends, no process of the run and no temporary file is left, and `failure.json` in the run's folder says why it was
no success. When this process itself is killed, the kernel kills the driver, and a guard all others.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lmm_r1_mega.errors import DONE, INTERNAL, INTERRUPTED, REQUEUE, exit_status
from lmm_r1_mega.process import stacks
from lmm_r1_mega.process.linux import adopting_orphans, children, descendants, guarded, kill_descendants
from lmm_r1_mega.process.progress import LINE_VARIABLE, Progress, services_lost
from lmm_r1_mega.process.session_folder import FOLDER_VARIABLE, WORKERS_TMP, session_folder

RESUME = "resume"
TICK_S = 1.0
LEAVE_LIMIT_S = 300.0
"""Time that a driver has to close everything after its last words; trackers may have much to send."""
LOOK_EVERY_S = 2.0
"""Time between two looks at the servers that a driver needs."""
BLOCK_BYTES = 65536
FAILURE_FILE = "failure.json"
STACKS_FILE = "stacks.txt"
MAX_NAMES = 4
GRACE_S = 60.0
"""The driver's own deadlines come first: they know who is late at what."""
SHORTEST_LIMIT_S = 300.0
LIMIT_FACTOR = 10.0
SELF_LIMITED = frozenset({"score"})
"""Phases that can be a thousand times as long when a server of others is down; each of their waits has a limit of its own (`reward`)."""
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
    again = arguments if arguments[0] == RESUME else None  # its options count in the next start too
    return supervise([sys.executable, *warnings, "-P", "-m", "lmm_r1_mega.cli", *arguments], again=again)


def supervise(command: list[str], *, again: list[str] | None = None) -> int:
    """Run a driver, and return the exit status when no process of it is left.

    A run goes on with the arguments `again` of the command line, `resume` and its folder where they are left out.
    """
    with session_folder() as folder, guarded(str(folder)), adopting_orphans():
        before = frozenset(children()[os.getpid()])
        driver = Driver(command, folder)
        try:
            with caught_signals() as signals:
                end = driver.wait(signals)
        finally:
            left = kill_descendants(but=before)
    for pid in left:
        print(f"lmm-r1-mega: process {pid} cannot be killed", file=sys.stderr)
    conclude(driver.progress, end, again=again)
    return end.status


class Patience:
    """How long a driver may be silent: in a phase that it has been through before, a multiple of its longest silence there."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._longest: dict[str, float] = {}
        self._known: set[str] = set()
        self._since = now()

    def hear(self, before: Progress, after: Progress) -> None:
        """The driver breaks a silence. A phase is known when it has been left: its first words come long before its longest silence."""
        silence, self._since = self._now() - self._since, self._now()
        self._longest[before.phase] = max(silence, self._longest.get(before.phase, 0.0))
        if after.phase != before.phase:
            self._known.add(before.phase)

    def overrun(self, progress: Progress) -> str:
        """Why the driver is silent for too long; empty while it is not."""
        if progress.late or progress.silence_limit_s is None:
            return progress.late
        limit, learned = progress.silence_limit_s + GRACE_S, ""
        if progress.phase in self._known and progress.phase not in SELF_LIMITED:
            longest = self._longest[progress.phase]
            limit, learned = min(limit, max(SHORTEST_LIMIT_S, LIMIT_FACTOR * longest)), f", and never for more than {longest:.1f} s before"
        return f"nothing has happened for {limit:.0f} s{learned}" if self._now() - self._since > limit else ""


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
        self._patience = Patience()
        self._unread = b""
        self._is_line_open = True
        self._leaves_before, self._next_look = float("inf"), 0.0
        self._asked: int | None = None
        self._num_interrupts = 0
        self._end: End | None = None

    def wait(self, signals: socket.socket) -> End:
        """Listen to the driver and to signals until the driver has ended."""
        while self._end is None and self._process.poll() is None:
            ready, _, _ = select.select([signals, *self._open_line()], [], [], TICK_S)
            if self._line in ready:
                self._listen()
            if signals in ready:
                self._obey(signals.recv(BLOCK_BYTES))
            self._watch()
        self._process.wait()
        self._catch_up()
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

    def _watch(self) -> None:
        """End a driver that nothing can come of."""
        if time.monotonic() > self._leaves_before:
            self._process.kill()
        elif time.monotonic() > self._next_look:
            self._next_look = time.monotonic() + LOOK_EVERY_S
            dead = self.progress.dead_services()
            self._catch_up()  # a driver that ends them itself has said before that it needs them no more
            if dead and self.progress.services:
                self._end_at_once(_lost(dead))
            elif why := self._patience.overrun(self.progress):
                self._end_at_once(_late(self.progress, why))

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

    def _catch_up(self) -> None:
        """Take what the driver has said by now; its end is not waited for, since what it forked may still hold the line."""
        while self._is_line_open and select.select([self._line], [], [], 0)[0]:
            self._listen()

    def _hear(self, progress: Progress) -> None:
        self._patience.hear(self.progress, progress)
        self.progress = progress
        if progress.status is not None:
            self._leaves_before = time.monotonic() + LEAVE_LIMIT_S

    def _attributed(self, returncode: int) -> End:
        """How the driver ended: by its own last words, else by its exit status or signal."""
        said = self.progress
        if said.status is not None:
            status = self._asked if self._asked is not None and said.status == REQUEUE else said.status
            return End(status, said.cause, said.process)
        if (returncode >= 0 or returncode == -signal.SIGABRT) and (dead := said.dead_services()):
            return _lost(dead)  # Ray may end a process that has lost them without a word
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


def conclude(progress: Progress, end: End, *, again: list[str] | None) -> None:
    """Say how the run ended and how it goes on, and leave the same in its folder."""
    if end.status == DONE:
        if progress.folder:
            Path(progress.folder, FAILURE_FILE).unlink(missing_ok=True)
        return
    if end.cause:
        print(f"lmm-r1-mega: {end.cause}", file=sys.stderr)
    if progress.folder:
        resume = shlex.join(["lmm-r1-mega", *(again or [RESUME, progress.folder])])
        print(f"lmm-r1-mega: all of the run is in {progress.folder}; go on with `{resume}`", file=sys.stderr)
        found = json.dumps(failure(progress, end, resume=resume), indent=2, ensure_ascii=False) + "\n"
        if not _replace(Path(progress.folder, FAILURE_FILE), found):
            print(f"lmm-r1-mega: {FAILURE_FILE} cannot be written there", file=sys.stderr)


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


def _replace(file: Path, text: str) -> bool:
    """Replace a file; False where the disk does not let us."""
    partial = file.with_name(f"{file.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)
    except OSError:
        return False
    return True


def _lost(services: list[str]) -> End:
    lost = services_lost(services)
    return End(exit_status(lost), str(lost), lost.process)


def _late(progress: Progress, why: str) -> End:
    """The driver, or who it waits for, hangs: their stacks go into the run's folder, or to the terminal where there is none."""
    names = list(progress.waits_for) or ["the driver"]
    who = ", ".join(names[:MAX_NAMES]) + (f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else "")
    text, where = stacks.collect(descendants()), "above"
    if progress.folder and _replace(Path(progress.folder, STACKS_FILE), text):
        where = f"in {progress.folder}/{STACKS_FILE}"
    else:
        print(text, file=sys.stderr)
    return End(REQUEUE, f"{who} did not finish {progress.doing or progress.phase}: {why}; Python stacks are {where}", names[0])


def _word(status: int) -> str:
    return "interrupted" if status == INTERRUPTED else "asked to end"
