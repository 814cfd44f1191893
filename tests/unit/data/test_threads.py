import gc
import threading

import pytest

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data import stream as streams
from lmm_r1_mega.data.stream import PromptStream
from lmm_r1_mega.data.threads import Threads
from lmm_r1_mega.errors import ProcessLost


def rows_of(picture, write_rows, count: int):
    """A file whose rows have a picture each."""
    for number in range(count):
        picture(f"{number}.png", seed=number)
    parts = [[{"type": "image", "image": f"{number}.png"}, {"type": "text", "text": "?"}] for number in range(count)]
    return write_rows(*({"message": [{"role": "user", "content": part}], "id": str(number)} for number, part in enumerate(parts)))


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


def test_the_next_rows_are_built_while_nobody_asks(processor, picture, write_rows):
    """Once they are, their files are needed no more."""
    path = rows_of(picture, write_rows, 6)
    stream = PromptStream(DataSettings(train=(path,), shuffle=False), processor, seed=0)
    stream.take(2)
    [begun.item.result(10) for begun in stream._begun]
    for image in path.parent.glob("*.png"):
        image.unlink()
    assert [prompt.id for prompt in stream.take(2)] == ["rows:2", "rows:3"]
    with pytest.raises(ValueError, match=r"no image of data.train can be read any more"):
        stream.take(1)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_position_is_of_what_was_taken_and_prompts_do_not_depend_on_threads(processor, picture, write_rows, workers):
    path = rows_of(picture, write_rows, 5)
    (path.parent / "3.png").write_bytes((path.parent / "3.png").read_bytes()[:200] + bytes(40) + (path.parent / "3.png").read_bytes()[240:])
    one_by_one = PromptStream(DataSettings(train=(path,), image_workers=1), processor, seed=4)
    stream = PromptStream(DataSettings(train=(path,), image_workers=workers), processor, seed=4)
    expected = [one_by_one.take(1)[0] for _ in range(11)]
    assert stream.bad_rows == []
    taken = stream.take(4)
    position = stream.position()
    resumed = PromptStream(DataSettings(train=(path,), image_workers=workers), processor, seed=0)
    resumed.take(3)  # what it has built ahead is not what comes
    resumed.restore(position)
    for prompts in (taken + stream.take(7), taken + resumed.take(7)):
        assert [prompt.id for prompt in prompts] == [prompt.id for prompt in expected]
        pairs = zip(prompts, expected, strict=True)
        assert all(prompt.vision.patches.tolist() == other.vision.patches.tolist() for prompt, other in pairs)
    assert stream.position() == resumed.position() == one_by_one.position()
    assert [bad.line for bad in stream.bad_rows] == [4]


def test_memory_bounds_what_is_built_ahead(processor, picture, write_rows, monkeypatch):
    monkeypatch.setattr(streams, "AHEAD_BYTES", 2 * 56 * 56 * 3)
    stream = PromptStream(DataSettings(train=(rows_of(picture, write_rows, 6),), shuffle=False), processor, seed=0)
    assert [prompt.id for prompt in stream.take(5)] == [f"rows:{number}" for number in range(5)]
    assert len(stream._begun) == 2


def test_a_row_that_hangs_is_an_error_that_names_it(processor, picture, write_rows, monkeypatch):
    path = rows_of(picture, write_rows, 1)
    stream = PromptStream(DataSettings(train=(path,)), processor, seed=0)
    never = threading.Event()
    monkeypatch.setattr(streams, "ROW_LIMIT_S", 0.05)
    stream._build = lambda entry: never.wait(10)
    with pytest.raises(ProcessLost, match=r"row rows:0 was not built within 0 s: look whether the disk of its images answers"):
        stream.take(1)
    never.set()
