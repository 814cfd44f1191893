import gc
import threading

import pytest

from lmm_r1_mega.data.stream.threads import Threads


def test_two_calls_are_made_at_a_time_and_errors_come_back():
    meeting = threading.Barrier(2)
    threads = Threads(2)
    promises = [threads.submit(lambda: meeting.wait(10)) for _ in range(2)]  # neither returns without the other
    assert sorted(promise.result(10) for promise in promises) == [0, 1]
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 // 0).result(10)


def test_the_threads_end_with_their_owner_and_what_waits_is_not_called():
    called, workers, started, go_on = [], [], threading.Event(), threading.Event()
    threads = Threads(1)
    running = threads.submit(lambda: workers.append(threading.current_thread()) or started.set() or go_on.wait(10))
    waiting = threads.submit(lambda: called.append(1))
    assert started.wait(10)
    del threads
    gc.collect()
    go_on.set()
    assert running.result(10)
    workers[0].join(10)
    assert (workers[0].is_alive(), called, waiting.cancelled()) == (False, [], True)
