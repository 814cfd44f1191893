import json

import pyarrow
import pyarrow.parquet
import pytest

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.chat.messages import Turn
from lmm_r1_mega.data.formats.rows import FIXES, BadRow
from lmm_r1_mega.data.stream.prompts import Record, check_names, read_rows

ASKED = [{"role": "user", "content": "2 + 2 ?"}]
ANSWERED = [*ASKED, {"role": "assistant", "content": "4"}]
SETTINGS = DataSettings()


def good(path, purpose="prompts", settings=SETTINGS) -> list[Record]:
    return [row for row in read_rows(path, settings, purpose=purpose) if isinstance(row, Record)]


def bad(path, purpose="prompts", settings=SETTINGS) -> list[BadRow]:
    rows = [row for row in read_rows(path, settings, purpose=purpose) if isinstance(row, BadRow)]
    assert all(row.kind in FIXES and row.file == path for row in rows)
    return rows


def test_a_row_in_every_column(write_rows):
    row = {"message": ASKED, "answer": "4", "datasource": "sums", "id": 17, "unused": [1]}
    [read] = good(write_rows(row))
    assert (read.id, read.source, read.answer, read.line) == ("rows:17", "sums", "4", 1)
    assert read.turns == (Turn("user", ("2 + 2 ?",)),)


def test_id_and_source_without_their_columns(write_rows):
    rows = good(write_rows({"message": ASKED}, {"message": ASKED}, name="sums.jsonl"))
    assert [(row.id, row.source, row.answer) for row in rows] == [("sums:0", "sums", None), ("sums:1", "sums", None)]


@pytest.mark.parametrize("answer", ["$\\frac12$", 3, 2.5, None, 10**400])
def test_answers_stay_what_they_are(write_rows, answer):
    [row] = good(write_rows({"message": ASKED, "answer": answer}))
    assert row.answer == answer and type(row.answer) is type(answer)


def test_boxes_as_answer_become_text(write_rows):
    [row] = list(read_rows(write_rows({"message": ASKED, "answer": [[1, 2, 3, 4]]}), SETTINGS, purpose="prompts"))
    assert row.answer == "[[1, 2, 3, 4]]"


def test_the_same_rows_in_every_format(tmp_path, write_rows):
    rows = [{"message": ASKED, "answer": "4"}, {"message": ANSWERED[:1], "answer": "5", "id": "b"}]
    lines = write_rows(*rows, name="x.jsonl")
    (tmp_path / "list").mkdir()
    as_list, as_lines, parquet = tmp_path / "list" / "x.json", tmp_path / "x.json", tmp_path / "x.parquet"
    as_list.write_text("\ufeff" + json.dumps(rows, indent=1), encoding="utf-8")
    as_lines.write_text("\ufeff" + lines.read_text().replace("\n", "\r\n\n"), encoding="utf-8")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{**row, "id": row.get("id")} for row in rows]), parquet)
    expected = [(row.id, row.turns, row.answer) for row in good(lines)]
    assert [name for name, _, _ in expected] == ["x:0", "x:b"]
    for path in (as_list, parquet):
        assert [(row.id, row.turns, row.answer) for row in good(path)] == expected
    assert [row.line for row in good(as_lines)] == [1, 3]


def test_parts_in_parquet_have_null_columns(tmp_path):
    message = [{"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "Why?"}]}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"message": message, "answer": 3}]), tmp_path / "x.parquet")
    [row] = good(tmp_path / "x.parquet")
    assert (row.turns, row.images, row.answer) == ((Turn("user", (None, "Why?")),), ("a.png",), 3)


def test_names_of_columns_are_settings(write_rows):
    settings = DataSettings(input_key="prompt", label_key="gold")
    [row] = good(write_rows({"prompt": ASKED, "gold": 4}), settings=settings)
    assert row.answer == 4


def test_the_system_prompt_is_put_before_chats_without_one(write_rows):
    own = [{"role": "system", "content": "Be long."}, *ASKED]
    settings = DataSettings(system_prompt="Be brief.")
    first, second = good(write_rows({"message": ASKED}, {"message": own}), settings=settings)
    assert first.turns[0] == Turn("system", ("Be brief.",))
    assert [turn.text for turn in second.turns] == ["Be long.", "2 + 2 ?"]


def test_the_final_turn_decides_what_a_row_is_for(write_rows):
    path = write_rows({"message": ASKED}, {"message": ANSWERED})
    assert [(row.line, row.reason) for row in bad(path)] == [
        (2, "the last turn is the assistant's, but training by reward asks for one: drop it, or use the file for sft")
    ]
    assert [row.line for row in bad(path, "demonstrations")] == [1]
    assert [row.demonstration for row in good(path, "any")] == [None, "4"]
    [row] = good(path, "demonstrations")
    assert (row.turns, row.demonstration) == ((Turn("user", ("2 + 2 ?",)),), "4")


def test_bad_rows_are_all_collected_with_line_kind_and_reason(tmp_path):
    lines = [
        json.dumps({"message": ASKED, "id": "x"}),
        "{broken",
        "[]",
        json.dumps({"answer": 1}),
        json.dumps({"message": "?"}),
        json.dumps({"message": ASKED, "answer": False}),
        json.dumps({"message": ASKED, "answer": True}),
        json.dumps({"message": ASKED, "answer": float("nan")}),
        json.dumps({"message": ASKED, "id": 1.5}),
        json.dumps({"message": ASKED, "datasource": ["a"]}),
        json.dumps({"message": ASKED, "id": "x"}),
        json.dumps({"message": [{"role": "system", "content": "Be brief."}]}),
        "[" * 100_000,
    ]
    path = tmp_path / "rows.jsonl"
    path.write_bytes("\n".join(lines).encode() + b"\n\xff\xfe\n" + b'{"answer": 1' + b"0" * 5000 + b"}\n")
    found = [(row.line, row.kind) for row in bad(path)]
    kinds = ["json", "row", "row", "message", "answer", "answer", "answer", "row", "row", "duplicate_id", "message", "json", "json", "json"]
    assert found == list(enumerate(kinds, start=2))
    reasons = {row.line: row.reason for row in bad(path)}
    assert reasons[4] == "no column 'message' (data.input_key); the row has answer"
    assert reasons[6] == "answer must be a string, a number or a list, got bool"
    assert reasons[8] == "answer is nan, which is no number"
    assert reasons[11] == "id 'rows:x' is the one of line 1"
    assert reasons[12] == "there is no user's turn to answer"
    assert len(good(path)) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.jsonl", None, "does not exist: check the paths in data.train"),
        ("x.txt", b"message,answer\n", "of an unknown kind: name it .jsonl, .ndjson, .json, .csv, .parquet, .arrow"),
        ("x.parquet", b"PAR1 no", "is not readable as Parquet after row 0"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_is_an_error(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        good(tmp_path / name)


def test_files_of_one_name_are_refused(tmp_path):
    check_names([tmp_path / "a.jsonl", tmp_path / "b.jsonl"])
    with pytest.raises(ValueError, match=r"one/a.jsonl and .*two/a.json have the same name.*: rename one"):
        check_names([tmp_path / "one" / "a.jsonl", tmp_path / "two" / "a.json"])
