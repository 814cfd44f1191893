"""A JSON list read element by element, against Python's decoder of whole texts: the same values, and mistakes at the same places."""

import json
import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.formats import json_list
from lmm_r1_mega.data.formats.json_list import read_list
from lmm_r1_mega.data.formats.rows import BROKEN_LIST, BadRow, RawRow
from lmm_r1_mega.data.inspect.check import check_file, describe
from lmm_r1_mega.data.inspect.fix import write_good_rows
from lmm_r1_mega.data.stream.stream import PromptStream
from lmm_r1_mega.errors import BadData

GOOD = '{"message": [{"role": "user", "content": "%d ?"}], "answer": %d}'

values = st.recursive(
    st.none() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def read(path: Path, *, chunk: int) -> list[RawRow | BadRow]:
    """The rows, with so many letters at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_list, "_CHUNK", chunk)
        return list(read_list(path))


def good(*numbers: int) -> list[str]:
    return [GOOD % (number, number) for number in numbers]


def write_list(folder: Path, elements: list[str]) -> Path:
    path = folder / "rows.json"
    path.write_text("[\n" + ",\n".join(elements) + "\n]\n", encoding="utf-8", errors="surrogateescape")
    return path


@settings(max_examples=60, deadline=None)
@given(st.lists(values, max_size=6), st.sampled_from([None, 1]), st.integers(1, 9))
def test_a_list_is_read_as_a_whole_decoder_reads_it(tmp_path_factory, found, indent, chunk):
    path = tmp_path_factory.mktemp("list") / "x.json"
    path.write_text(json.dumps(found, indent=indent, ensure_ascii=False), encoding="utf-8", errors="replace")
    rows = read(path, chunk=chunk)
    assert [row.value for row in rows] == json.loads(path.read_text(encoding="utf-8"))
    assert [row.line for row in rows] == list(range(1, len(found) + 1))


@settings(max_examples=200, deadline=None)
@given(
    found=st.lists(st.dictionaries(st.text('aé\n"角', max_size=3), values, max_size=2), min_size=1, max_size=5),
    style=st.sampled_from([{"indent": 1}, {}, {"separators": (",", ":")}]),
    cut=st.floats(0, 1),
    instead=st.sampled_from(["", "x", ",", '"', "}", "]", "\\", "\x01", "{", "1", "角"]),
    chunk=st.sampled_from([1, 7, 50, 2**20]),
    bom=st.booleans(),
)
def test_a_mistake_is_where_a_whole_decoder_finds_it(tmp_path_factory, found, style, cut, instead, chunk, bom):
    """One letter is dropped or another, wherever that is; where the list is still one it is read to its end."""
    text = json.dumps(found, ensure_ascii=False, **style).encode(errors="replace").decode()
    place = 1 + int(cut * (len(text) - 1))
    text = text[:place] + instead + text[place + 1 :]
    path = tmp_path_factory.mktemp("list") / "x.json"
    path.write_bytes(("\ufeff" * bom + text).encode())
    *rows, last = [*read(path, chunk=chunk), None] if _is_json(text) else read(path, chunk=chunk)
    assert [row.line for row in rows] == list(range(1, len(rows) + 1))
    if last is None:
        assert [row.value for row in rows] == json.loads(text)
        return
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(text)
    error = caught.value
    before = len(("\ufeff" * bom + text[: error.pos]).encode())
    assert (last.line, last.kind) == (len(rows) + 1, BROKEN_LIST)
    assert (
        f" at line {error.lineno}, column {error.colno} (byte {before}): what is before it was read ({len(rows)} elements)" in last.reason
    )
    assert [row.value for row in rows] == json.loads(text[: _end(text, len(rows))] + "]")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _end(text: str, count: int) -> int:
    """Where the first elements of a list end."""
    place = 1
    for _ in range(count):
        while text[place] in " ,\n":
            place += 1
        _, place = json.JSONDecoder().raw_decode(text, place)
    return place


@pytest.mark.parametrize(
    ("text", "number", "reason"),
    [
        ("[1, 2", 3, r"',' or '\]' is missing at line 1, column 6"),
        ("[1 2]", 2, r"',' or '\]' is missing at line 1, column 4"),
        ("[1, {]", 2, "Expecting property name enclosed in double quotes at line 1, column 6"),
        ("[1] 2", 2, r"there is more behind the list's '\]' at line 1, column 5"),
        ("[", 1, "Expecting value at line 1, column 2"),
        ("[1,]", 2, "Expecting value at line 1, column 4"),
        ("[1,\n" + "9" * 5000 + "]", 2, r"Exceeds the limit .* at line 2, column 1 \(byte 4\)"),
        ("[1, " + "[" * 100_000, 2, r"recursion .* at line 1, column 5"),
    ],
)
def test_a_list_that_breaks_off_says_where_and_what_was_read(tmp_path, text, number, reason):
    (tmp_path / "x.json").write_text(text)
    *rows, last = read(tmp_path / "x.json", chunk=2**20)
    assert [row.value for row in rows] == [1, 2][: number - 1]
    assert (last.line, last.kind) == (number, BROKEN_LIST)
    assert re.search(reason, last.reason)
    assert last.reason.endswith(f"what is before it was read ({number - 1} elements), nothing behind it")


def test_an_element_that_is_no_utf8_is_named_alone(tmp_path):
    path = write_list(tmp_path, [*good(1), '{"message": "\udcff"}', *good(3)])
    assert b"\xff" in path.read_bytes()
    first, second, third = read(path, chunk=10)
    assert (first.value["answer"], third.value["answer"]) == (1, 3)
    assert second == BadRow(path, 2, "json", "it is not in UTF-8")


def test_of_a_long_list_with_a_mistake_no_more_is_read_than_leads_to_it(tmp_path):
    path = write_list(tmp_path, [*good(1), "{broken}", *good(*range(200_000))])
    assert path.stat().st_size > 12e6
    tracemalloc.start()
    rows = list(read_list(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [type(row) for row in rows] == [RawRow, BadRow]
    assert peak < 6e6


class TestCheck:
    """What a user sees of it."""

    def test_bad_elements_are_named_by_their_number(self, tmp_path):
        report = check_file(write_list(tmp_path, [*good(1), "{}", *good(3, 3), "[]"]), DataSettings(), None)
        assert [(bad.line, bad.kind) for bad in report.bad_rows] == [(2, "row"), (5, "row")]
        text = describe(report)
        assert "  element 2: row: no column 'message'" in text
        assert "  element 4: asks the same as element 3" in text

    def test_rows_before_a_mistake_are_checked_and_its_place_is_named(self, tmp_path):
        path = write_list(tmp_path, [*good(1), "{}", *good(3), '{"message": 4,}', *good(5)])
        report = check_file(path, DataSettings(), None)
        assert report.num_good == 2
        assert [(bad.line, bad.kind) for bad in report.bad_rows] == [(2, "row"), (4, BROKEN_LIST)]
        byte = path.read_bytes().index(b"4,}") + 2
        where = f"at line 5, column 15 (byte {byte})"
        assert f"{where}: what is before it was read (3 elements), nothing behind it" in describe(report)

    def test_what_is_behind_a_mistake_is_not_silently_dropped_from_a_fixed_file(self, tmp_path):
        path = write_list(tmp_path, [*good(1), "{broken}", *good(3)])
        report = check_file(path, DataSettings(), None)
        with pytest.raises(BadData, match=r"rows.json, element 2: Expecting property name .*: fix that place first"):
            write_good_rows(report, tmp_path / "good.json")
        assert [file.name for file in tmp_path.iterdir()] == ["rows.json"]

    def test_a_run_does_not_begin_with_half_a_list(self, processor, tmp_path):
        path = write_list(tmp_path, [*good(1), "{}", "{broken}", *good(3)])
        with pytest.raises(BadData, match=r"(?s)1 rows cannot be used:.*1 x broken_list: fix the list at this place"):
            PromptStream(DataSettings(train=(path,), bad_rows="drop"), processor, seed=0)
