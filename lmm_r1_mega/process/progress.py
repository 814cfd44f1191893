"""The driver's side of the line to its parent process: how far it is, and whether it is asked to stop.

A driver that has no parent of ours (`train(config)` in a program) says nothing to nobody and keeps that program's signal handlers.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lmm_r1_mega.errors import ProcessLost, Stopped, cause_of, exit_status
from lmm_r1_mega.process import stacks
from lmm_r1_mega.process.linux import answers, die_with
from lmm_r1_mega.process.secret_variables import redacted

LINE_VARIABLE = "LMM_R1_MEGA_LINE"
"""`descriptor parent`: the socket that a driver inherits, and the process that holds its other end."""

GIVE_UP_LIMIT_S = 60.0
"""Time that the parent has to end a driver that gave up."""


@dataclass(frozen=True)
class Progress:
    """What a driver last said."""

    folder: str | None = None
    """The run's folder, once it is claimed."""
    step: int = 0
    """Steps that are done."""
    phase: str = "start"
    can_save: bool = False
    """A step has begun: when asked to stop, it is finished and saved."""
    waits_for: tuple[str, ...] = ()
    """Processes whose answers the driver waits for."""
    doing: str = ""
    """What they are to do."""
    silence_limit_s: float | None = None
    """Longest time without a word; the driver's own deadlines are shorter."""
    late: str = ""
    """Why `waits_for` are too late, where a deadline of theirs is over: the run is to be ended."""
    services: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Host and port of the processes that the driver cannot do without, by name."""
    status: int | None = None
    """Exit status, at the very end."""
    cause: str = ""
    """Why the run ends, where it is no success."""
    process: str = "driver"
    """Which process failed."""

    def dead_services(self) -> list[str]:
        """Those of `services` that are gone."""
        return [name for name, (host, port) in self.services.items() if not answers(host, port)]

    @classmethod
    def from_json(cls, line: bytes) -> Progress:
        """Inverse of `to_json`."""
        return cls(**json.loads(line))

    def to_json(self) -> bytes:
        """One line."""
        return json.dumps(asdict(self)).encode() + b"\n"


class _Line:
    """This process's end of the line."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.progress = Progress()
        self.is_asked_to_stop = False


_line = _Line()


def connect() -> bool:
    """Take the line that a parent of ours has left in the environment, and die with that parent; False where there is none."""
    descriptor, _, parent = os.environ.pop(LINE_VARIABLE, "").partition(" ")
    if descriptor:
        die_with(int(parent))
        stacks.register("driver")
        _line.socket = socket.socket(fileno=int(descriptor))
        _line.socket.set_inheritable(False)
    return bool(descriptor)


def tell(**changes: Any) -> bool:
    """Tell the parent fields of `Progress` that have changed; False where there is no parent."""
    _line.progress = replace(_line.progress, **changes)
    if _line.socket is None:
        return False
    with contextlib.suppress(OSError):  # without its parent this process is about to die
        _line.socket.sendall(_line.progress.to_json())
    return True


def tell_failure(error: BaseException) -> bool:
    """Last words: how an error ends this process; False where there is no parent."""
    process = error.process if isinstance(error, ProcessLost) else ""
    return tell(status=exit_status(error), cause=redacted(cause_of(error), os.environ), process=process or "driver")


@contextmanager
def needing(services: Mapping[str, tuple[str, int]]) -> Iterator[None]:
    """The parent ends the run where one of these servers is gone inside; host and port by name.

    Raises:
        ProcessLost: something failed inside, and one of them is gone.
    """
    tell(services=dict(services))
    try:
        yield
    except Exception as error:
        if dead := _line.progress.dead_services():
            lost = services_lost(dead)
            tell_failure(lost)  # before all is closed, which may hang now
            raise lost from error
        tell_failure(error)
        raise
    finally:
        tell(services={})


def services_lost(names: list[str]) -> ProcessLost:
    """What the loss of servers is called, whoever finds it."""
    return ProcessLost(f"{' and '.join(names)} died: no connection is taken there", names[0])


def enter(phase: str, *, in_step: bool) -> None:
    """A phase begins. From the first one of a step on, a request to stop waits for the end of the step and is saved."""
    if in_step and not _line.progress.can_save and _line.socket is not None:
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, _ask_to_stop)  # after Ray, which has set a handler that exits
        tell(can_save=True)
    tell(phase=phase)


def give_up(why: str) -> None:
    """`waits_for` are late: the parent, where there is one, writes down their stacks and ends this process, else this returns."""
    if tell(late=why):
        time.sleep(GIVE_UP_LIMIT_S)


def is_asked_to_stop() -> bool:
    """Whether a checkpoint is due now because the run shall end."""
    return _line.is_asked_to_stop


def stop_if_asked(done: int) -> None:
    """Called when `done` steps are saved.

    Raises:
        Stopped: the run was asked to end.
    """
    if _line.is_asked_to_stop:
        raise Stopped(f"stopped as asked after step {done}, which is saved")


def _ask_to_stop(number: int, frame: object) -> None:
    _line.is_asked_to_stop = True
