"""Rows are built before their turn, a bounded part of them, and nobody sees it but the clock."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.formats.rows import BadRow
from lmm_r1_mega.data.images.decode import ImageRefused
from lmm_r1_mega.data.stream import ahead as aheads
from lmm_r1_mega.data.stream.ahead import Ahead
from lmm_r1_mega.data.stream.files import PromptFile
from lmm_r1_mega.data.stream.prepare import PreparedRecord
from lmm_r1_mega.data.stream.prompts import Record
from lmm_r1_mega.data.stream.stream import PromptStream
from lmm_r1_mega.errors import ProcessLost

NO_TOKENS = np.array([], dtype=np.int32)


def rows_of(save_image, write_rows, count: int) -> Path:
    """A file whose rows have an image each."""
    for number in range(count):
        save_image(f"{number}.png", seed=number)
    parts = [[{"type": "image", "image": f"{number}.png"}, {"type": "text", "text": "?"}] for number in range(count)]
    return write_rows(*({"message": [{"role": "user", "content": part}], "id": str(number)} for number, part in enumerate(parts)))


def spoil(image: Path) -> None:
    """Damage an image behind its header."""
    content = image.read_bytes()
    image.write_bytes(content[:200] + bytes(40) + content[240:])


class Watched:
    """An image processor that remembers how often it was asked."""

    def __init__(self, image_processor) -> None:
        self.calls = 0
        self._image_processor = image_processor

    def __call__(self, **given):
        self.calls += 1
        return self._image_processor(**given)

    def __getattr__(self, name: str):
        return getattr(self._image_processor, name)

    def wait_for(self, calls: int) -> None:
        """Until it was asked so often."""
        deadline = time.monotonic() + 100
        while self.calls < calls:
            assert time.monotonic() < deadline
            time.sleep(0.01)


class TestAhead:
    def entries(self, count: int, begun: list[int]) -> Iterator[PreparedRecord]:
        """Entries that note when they are begun."""
        for number in range(count):
            begun.append(number)
            yield PreparedRecord(Record(Path("x"), number, str(number), "x", (), (), None, None), "", NO_TOKENS, NO_TOKENS, (), (), ())

    def test_items_come_in_the_order_of_the_entries(self):
        def build(entry: PreparedRecord) -> int:
            time.sleep(0.002 * (entry.row.line % 3 == 0))
            return entry.row.line

        ahead = Ahead(self.entries(40, []), build, lambda entry: 0, num_threads=4)
        assert [ahead.take(8) for _ in range(40)] == list(range(40))
        with pytest.raises(IndexError):
            ahead.take(8)

    def test_two_are_built_at_a_time(self):
        meeting = threading.Barrier(2)  # neither goes on without the other
        ahead = Ahead(self.entries(2, []), lambda entry: meeting.wait(100), lambda entry: 0, num_threads=2)
        assert sorted([ahead.take(2), ahead.take(2)]) == [0, 1]

    def test_as_many_are_begun_as_asked_for(self):
        begun: list[int] = []
        ahead = Ahead(self.entries(40, begun), lambda entry: None, lambda entry: 0, num_threads=1)
        assert begun == []
        ahead.take(3)
        assert begun == [0, 1, 2]
        ahead.begin(4)
        assert begun == [0, 1, 2, 3, 4]

    def test_memory_bounds_what_is_begun(self, monkeypatch):
        monkeypatch.setattr(aheads, "AHEAD_BYTES", 100)
        begun: list[int] = []
        ahead = Ahead(self.entries(40, begun), lambda entry: entry.row.line, lambda entry: 40, num_threads=1)
        assert [ahead.take(30) for _ in range(3)] == [0, 1, 2]
        assert begun == [0, 1, 2, 3, 4]  # two are waiting, and the third came before one of them was taken

    def test_one_is_begun_however_large_it_is(self, monkeypatch):
        monkeypatch.setattr(aheads, "AHEAD_BYTES", 100)
        begun: list[int] = []
        ahead = Ahead(self.entries(40, begun), lambda entry: entry.row.line, lambda entry: 1000, num_threads=1)
        assert [ahead.take(30) for _ in range(3)] == begun == [0, 1, 2]

    def test_a_row_that_cannot_be_built_is_a_bad_one_in_its_turn(self):
        def build(entry: PreparedRecord) -> int:
            if entry.row.line == 1:
                raise ImageRefused("it is cut")
            return entry.row.line

        ahead = Ahead(self.entries(3, []), build, lambda entry: 0, num_threads=2)
        assert [ahead.take(3) for _ in range(3)] == [0, BadRow(Path("x"), 1, "image", "it is cut"), 2]

    def test_a_row_that_hangs_is_an_error_that_names_it(self, monkeypatch):
        never = threading.Event()
        monkeypatch.setattr(aheads, "ROW_LIMIT_S", 0.05)
        ahead = Ahead(self.entries(1, []), lambda entry: never.wait(10), lambda entry: 0, num_threads=1)
        with pytest.raises(ProcessLost, match=r"row 0 was not built within 0 s: look whether the disk of its images answers"):
            ahead.take(1)
        never.set()


class TestStream:
    def test_the_next_rows_are_built_while_nobody_asks(self, processor, save_image, write_rows):
        """Once they are, their files are needed no more."""
        path = rows_of(save_image, write_rows, 6)
        watched = Watched(processor._image_processor)
        stream = PromptStream(DataSettings(train=(path,), shuffle=False), replace(processor, _image_processor=watched), seed=0)
        stream.take(2)
        watched.wait_for(4)
        for image in path.parent.glob("*.png"):
            image.unlink()
        assert [prompt.id for prompt in stream.take(2)] == ["rows:2", "rows:3"]
        with pytest.raises(ValueError, match=r"no image of data.train can be read any more"):
            stream.take(1)

    @pytest.mark.parametrize("workers", [1, 3])
    def test_the_position_is_of_what_was_taken_and_prompts_do_not_depend_on_threads(self, processor, save_image, write_rows, workers):
        path = rows_of(save_image, write_rows, 5)
        spoil(path.parent / "3.png")
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
            assert all(prompt.images.patches.tolist() == other.images.patches.tolist() for prompt, other in pairs)
        assert stream.position() == resumed.position() == one_by_one.position()
        assert [bad.line for bad in stream.bad_rows] == [4]


class TestFile:
    def test_the_next_rows_are_built_while_nobody_asks(self, processor, save_image, write_rows):
        path = rows_of(save_image, write_rows, 6)
        watched = Watched(processor._image_processor)
        prompts = iter(PromptFile(path, DataSettings(), replace(processor, _image_processor=watched)))
        first = next(prompts)
        watched.wait_for(6)
        for image in path.parent.glob("*.png"):
            image.unlink()
        assert [prompt.id for prompt in (first, *prompts)] == [f"rows:{number}" for number in range(6)]

    def test_memory_bounds_what_is_built_before_its_turn(self, processor, save_image, write_rows, monkeypatch):
        """One image is used and one waits: the next is built when that one is taken."""
        monkeypatch.setattr(aheads, "AHEAD_BYTES", 2 * 56 * 56 * 3)
        path = rows_of(save_image, write_rows, 6)
        watched = Watched(processor._image_processor)
        file = PromptFile(path, DataSettings(), replace(processor, _image_processor=watched))
        for built, _ in zip([2, 3, 4, 5, 6, 6], file, strict=True):
            watched.wait_for(built)
            assert watched.calls == built

    @pytest.mark.parametrize("workers", [1, 3])
    def test_order_images_and_bad_rows_do_not_depend_on_threads(self, processor, save_image, write_rows, workers):
        path = rows_of(save_image, write_rows, 9)
        spoil(path.parent / "3.png")
        file = PromptFile(path, DataSettings(image_workers=workers), processor)
        stream = PromptStream(DataSettings(train=(path,), shuffle=False, image_workers=1), processor, seed=0)
        for _ in range(2):  # as often as one likes
            prompts, expected = list(file), [stream.take(1)[0] for _ in range(8)]
            assert [prompt.id for prompt in prompts] == [f"rows:{number}" for number in range(9) if number != 3]
            pairs = zip(prompts, expected, strict=True)
            assert all(np.array_equal(prompt.images.patches, other.images.patches) for prompt, other in pairs)
        assert [bad.line for bad in file.bad_rows] == [4]
