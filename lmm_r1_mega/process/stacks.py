"""Python stacks of processes that hang, written by the processes themselves, whatever they are stuck in.

A process registers under a name. It writes its stack to a file in memory at a signal that no Python code has to take, and others
find that file among its open ones.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import time
from collections.abc import Collection, Iterable
from pathlib import Path

PREFIX = "lmm_r1_mega: "
LIMIT_S = 10.0
PAUSE_S = 0.1


def register(name: str) -> None:
    """Have this process write the stacks of all its threads when it is asked to, under a name for the reader."""
    faulthandler.register(signal.SIGUSR2, file=os.memfd_create(PREFIX + name), all_threads=True)


def collect(family: Collection[int]) -> str:
    """The stacks of the registered processes of a family, with their names and what Ray calls their work.

    Where there is but one, the others descend from a cluster that was joined: then of all of this user's on this machine.
    """
    files = _files(family)
    if len(files) <= 1:
        files = _files(map(int, filter(str.isdigit, os.listdir("/proc"))))
    for pid in files:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR2)
    deadline, texts = time.monotonic() + LIMIT_S, dict.fromkeys(files, "")
    while time.monotonic() < deadline:
        time.sleep(PAUSE_S)
        before, texts = texts, {pid: _read(file) for pid, file in files.items()}
        if before == texts and all(texts.values()):
            break
    return "\n".join(f"== {_title(pid, file)}\n{texts[pid] or 'no answer: stopped, or stuck in the kernel'}" for pid, file in files.items())


def _files(pids: Iterable[int]) -> dict[int, Path]:
    return {pid: file for pid in pids if (file := _file(pid))}


def _file(pid: int) -> Path | None:
    """The file in memory of a registered process."""
    with contextlib.suppress(OSError):  # gone, or another user's
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            if os.readlink(descriptor).startswith(f"/memfd:{PREFIX}"):
                return descriptor
    return None


def _title(pid: int, file: Path) -> str:
    with contextlib.suppress(OSError):
        name = os.readlink(file).removeprefix(f"/memfd:{PREFIX}").removesuffix(" (deleted)")
        command = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").partition("\0")[0]
        return f"{name}, process {pid}, {command.strip()}"
    return f"process {pid}, gone"


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
