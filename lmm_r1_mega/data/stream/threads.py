"""Threads that build the prompts of the next step while this one generates and trains.

Threads and no processes: reading, decoding and resizing give Python's lock away, so two threads build about as many images a
second as two processes, start at once instead of in the seconds that importing torch takes, and share what they have decoded.
"""

from __future__ import annotations

import contextlib
import ctypes
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")

_M_MMAP_THRESHOLD = -3  # of malloc.h

_Jobs = SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]


class Threads:
    """Calls made in the order in which they were handed in, several at a time.

    The threads end with this object, and a call that hangs does not keep the process from ending: the pool of the standard library
    would wait for it.
    """

    def __init__(self, count: int) -> None:
        _give_large_blocks_back()
        self._jobs: _Jobs = SimpleQueue()
        for _ in range(count):
            Thread(target=_work, args=(self._jobs,), daemon=True).start()
        weakref.finalize(self, _end, self._jobs, count)

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """The promise of a call's result; one that is cancelled in time is not made."""
        promise: Future[T] = Future()
        self._jobs.put((call, promise))
        return promise


def _give_large_blocks_back() -> None:
    """Have glibc map every block of a megabyte or more by itself, and unmap it when it is free.

    Left alone it moves its threshold above the first such block that is freed, and an image that stays then keeps the holes around
    it that decoding has left: twice the memory of the images. Other C libraries have no such threshold.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 2**20)


def _work(jobs: _Jobs) -> None:
    while (job := jobs.get()) is not None:
        call, promise = job
        if promise.set_running_or_notify_cancel():
            _keep(promise, call)
        del job, call, promise  # an idle thread holds no images


def _keep(promise: Future[T], call: Callable[[], T]) -> None:
    try:
        promise.set_result(call())
    except BaseException as error:  # belongs to whoever waits
        promise.set_exception(error)


def _end(jobs: _Jobs, count: int) -> None:
    with contextlib.suppress(Empty):
        while waiting := jobs.get_nowait():
            waiting[1].cancel()
    for _ in range(count):
        jobs.put(None)
