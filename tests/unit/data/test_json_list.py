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


def nested(*leaves):
    return st.recursive(
        st.one_of(st.none(), st.text(), *leaves),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    )


values = nested(st.integers(1 - 2**63, 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
small = nested(st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False, width=16))
"""Numbers that one letter more does not make too large."""


def good(*numbers: int) -> list[str]:
    return [GOOD % (number, number) for number in numbers]


def write_list(folder: Path, elements: list[str]) -> Path:
    path = folder / "rows.json"
    path.write_text("[\n" + ",\n".join(elements) + "\n]\n", encoding="utf-8", errors="surrogateescape")
    return path


def read_in_chunks(path: Path, size: int) -> list[RawRow | BadRow]:
    """The rows, with so many bytes at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_list, "_CHUNK_BYTES", size)
        return list(read_list(path))


@settings(max_examples=200, deadline=None)
@given(st.lists(values, max_size=6), st.sampled_from([None, 1]), st.booleans(), st.booleans(), st.sampled_from([1, 2, 7, 50, 2**16]))
def test_a_list_is_read_as_a_whole_decoder_reads_it(tmp_path_factory, elements, indent, is_ascii, has_bom, size):
    path = tmp_path_factory.mktemp("list") / "x.json"
    path.write_text("\ufeff" * has_bom + json.dumps(elements, indent=indent, ensure_ascii=is_ascii), encoding="utf-8")
    rows = read_in_chunks(path, size)
    assert rows == [RawRow(number, value) for number, value in enumerate(json.loads(path.read_text(encoding="utf-8-sig")), start=1)]


@settings(max_examples=300, deadline=None)
@given(
    elements=st.lists(st.dictionaries(st.text('aé\n"角', max_size=3), small, max_size=2), min_size=1, max_size=5),
    style=st.sampled_from([{"indent": 1}, {}, {"separators": (",", ":")}]),
    cut=st.floats(0, 1),
    instead=st.sampled_from(["", "x", ",", '"', "}", "]", "\\", "\x01", "{", "1", "角"]),
    size=st.sampled_from([1, 7, 50, 2**16]),
)
def test_the_elements_before_a_mistake_are_those_that_a_whole_decoder_reads(tmp_path_factory, elements, style, cut, instead, size):
    """One letter is dropped or another, wherever that is; if the list is still one it is read to its end."""
    text = json.dumps(elements, ensure_ascii=False, **style)
    place = 1 + int(cut * (len(text) - 2))
    text = text[:place] + instead + text[place + 1 :]
    path = tmp_path_factory.mktemp("list") / "x.json"
    path.write_text(text, encoding="utf-8")
    rows = read_in_chunks(path, size)
    values, is_whole = _decoded(text)
    if not is_whole:
        last = rows.pop()
        assert (last.line, last.kind) == (len(rows) + 1, BROKEN_LIST)
        assert last.reason.endswith(f": what is before it was read ({len(rows)} elements), nothing behind it")
        assert len(values) - 1 <= len(rows) <= len(values)  # of [1.x] Python's decoder reads the 1
    assert rows == [RawRow(number, value) for number, value in enumerate(values[: len(rows)], start=1)]


def _decoded(text: str) -> tuple[list, bool]:
    """The elements that Python's decoder reads one after the other, and whether the text is a list to its end."""
    values, place = [], 1
    try:
        return json.loads(text), True
    except ValueError:
        pass
    while True:
        border = re.compile(r"\s*,\s*" if values else r"\s*").match(text, place)
        try:
            value, place = json.JSONDecoder().raw_decode(text, border.end() if border else len(text))
        except ValueError:
            return values, False
        values.append(value)


@pytest.mark.parametrize(
    ("text", "number", "reason"),
    [
        ("[1, 2", 3, "premature EOF"),
        ("[1 2]", 2, r"after array element, I expect ',' or '\]', near '\[1 2\]'"),
        ("[1, {]", 2, r"invalid object key \(must be a string\), near '\[1, {\]'"),
        ("[1] 2", 2, "trailing garbage"),
        ("[", 1, "premature EOF"),
        ("[1,]", 2, r"unallowed token at this point in JSON text, near '\[1,\]'"),
        ("[1,\n" + "9" * 5000 + "]", 2, "integer overflow, near"),
        ("[1, NaN]", 2, r"invalid char in json text, near '\[1, NaN\]'"),
        ("[1, " + "[" * 100_000, 2, "more than 500 lists and objects in one another"),
        (r'[1, "\ud83d"]', 2, "inside a string"),
        (r'[1, "\ud83d\u0041"]', 2, "inside a string"),
        (r'[1, "\udc00\ud83d"]', 2, "inside a string"),
    ],
)
def test_a_list_that_breaks_off_says_why_and_what_was_read(tmp_path, text, number, reason):
    (tmp_path / "x.json").write_text(text)
    *rows, last = read_list(tmp_path / "x.json")
    assert [row.value for row in rows] == [1, 2][: number - 1]
    assert (last.line, last.kind) == (number, BROKEN_LIST)
    assert re.search(reason, last.reason)
    assert last.reason.endswith(f"what is before it was read ({number - 1} elements), nothing behind it")


def test_a_list_ends_at_an_element_that_is_no_utf8(tmp_path):
    path = write_list(tmp_path, [*good(1), '{"message": "\udcff"}', *good(3)])
    assert b"\xff" in path.read_bytes()
    first, second = read_list(path)
    assert first.value["answer"] == 1
    assert (second.line, second.kind) == (2, BROKEN_LIST)
    assert second.reason.startswith("lexical error: invalid bytes in UTF8 string, near ")


@pytest.mark.parametrize("count", [0, 200_000])
def test_of_a_long_list_no_more_is_held_than_leads_to_an_element(tmp_path, count):
    path = write_list(tmp_path, [*good(*range(count)), "{broken}", *good(*range(200_000))])
    assert path.stat().st_size > 12e6
    tracemalloc.start()
    num_rows = sum(isinstance(row, RawRow) for row in read_list(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert num_rows == count
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
        assert "element 4: broken_list: parse error: invalid object key" in describe(report)
        assert ": what is before it was read (3 elements), nothing behind it" in describe(report)

    def test_what_is_behind_a_mistake_is_not_silently_dropped_from_a_fixed_file(self, tmp_path):
        path = write_list(tmp_path, [*good(1), "{broken}", *good(3)])
        report = check_file(path, DataSettings(), None)
        with pytest.raises(
            BadData, match=r"rows.json, element 2: lexical error: invalid char in json text, near .*broken.*: fix that place first"
        ):
            write_good_rows(report, tmp_path / "good.jsonl")
        assert [file.name for file in tmp_path.iterdir()] == ["rows.json"]

    def test_a_run_does_not_begin_with_half_a_list(self, processor, tmp_path):
        path = write_list(tmp_path, [*good(1), "{}", "{broken}", *good(3)])
        with pytest.raises(BadData, match=r"(?s)1 rows cannot be used:.*1 x broken_list: fix the list at this place"):
            PromptStream(DataSettings(train=(path,), bad_rows="drop"), processor, seed=0)
