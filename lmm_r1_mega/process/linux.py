"""Linux processes: who descends from whom, who dies with whom, who still answers, and their end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PAUSE_S = 0.02
WAIT_S = 1.0
"""Limit of a wait that a signal shall end: one that another thread takes, or that comes just before the wait, does not end it."""
CONNECT_LIMIT_S = 2.0

_libc = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when `parent` ends, however that ends and whatever this process is doing."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def adopt_orphans() -> None:
    """Descendants whose own parent ends become children of this process, not of the machine's first one."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)


@contextmanager
def adopting_orphans() -> Iterator[None]:
    """`adopt_orphans` for as long as the block lasts."""
    adopt_orphans()
    try:
        yield
    finally:
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 0)


@contextmanager
def guarded(mark: str) -> Iterator[None]:
    """When this process is killed inside, a small one that waits for it kills all that have `mark` in their first environment."""
    ended, alive = os.pipe()
    guard = os.fork()
    if guard == 0:
        try:
            os.setsid()  # not with what a terminal or a group is sent
            os.close(alive)
            os.read(ended, 1)  # nothing is written: it ends with the other end
            kill_marked(mark)
        finally:
            os._exit(0)
    os.close(ended)
    try:
        yield
    finally:
        os.kill(guard, signal.SIGKILL)
        os.waitpid(guard, 0)
        os.close(alive)


def kill_marked(mark: str) -> None:
    """kill -9 of all processes with a text in the environment that they were started with, wherever they descend from."""
    while marked := [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _has_mark(pid, mark)]:
        for pid in marked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(PAUSE_S)


def answers(host: str, port: int) -> bool:
    """Whether a server takes connections there; one that is slow to, or cannot be reached from here, is not dead."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_LIMIT_S).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        pass
    return True


def children() -> dict[int, list[int]]:
    """Process -> its children, dead ones that nobody has waited for included."""
    found = defaultdict(list)
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(ValueError, OSError):  # no process, or gone meanwhile
            found[_parent(int(folder.name))].append(int(folder.name))
    return found


def kill_descendants(*, but: frozenset[int] = frozenset(), limit_s: float = 10.0) -> list[int]:
    """kill -9 of all that descends from this process, except the children `but` and theirs; those that are left after `limit_s`.

    Repeated until none is found: what a dying process has started meanwhile is found as an orphan.
    """
    deadline = time.monotonic() + limit_s
    while left := descendants(but):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # an orphan that is not ours yet
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            break
        time.sleep(PAUSE_S)
    return left


def descendants(but: frozenset[int] = frozenset()) -> list[int]:
    """All that descends from this process, except the children `but` and theirs."""
    family = children()
    waiting = [pid for pid in family[os.getpid()] if pid not in but]
    found = []
    while waiting:
        found.append(waiting.pop())
        waiting += family[found[-1]]
    return found


def _has_mark(pid: int, mark: str) -> bool:
    try:
        return mark.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # gone, or another user's
        return False


def _parent(pid: int) -> int:
    """The name of a program, in brackets, may hold anything."""
    return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
