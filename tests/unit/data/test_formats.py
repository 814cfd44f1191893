"""The same rows out of every kind of file, and the good ones of each as JSON Lines."""

import base64
import json
from pathlib import Path

import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.formats.columns import format_of, set_name
from lmm_r1_mega.data.formats.rows import BadRow, RawRow
from lmm_r1_mega.data.inspect.check import check_file
from lmm_r1_mega.data.inspect.fix import folder_to_declare, write_good_rows
from lmm_r1_mega.errors import BadData

ROWS = [
    {"message": json.dumps([{"role": "user", "content": 'two lines,\n"quoted" ü ?'}]), "answer": "4", "id": "a"},
    {"message": json.dumps([{"role": "user", "content": "3 ?"}]), "answer": None, "id": "b"},
    {"message": json.dumps([{"role": "user", "content": "5 ?"}]), "answer": "5", "id": "c"},
]


def write_lines(path: Path, rows: list) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_list(path: Path, rows: list) -> None:
    path.write_text("\ufeff" + json.dumps(rows, indent=2, ensure_ascii=False), encoding="utf-8")


def write_csv(path: Path, rows: list) -> None:
    pyarrow.csv.write_csv(pyarrow.Table.from_pylist(rows), path)


def write_parquet(path: Path, rows: list) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=2)


def write_arrow_file(path: Path, rows: list) -> None:
    table = pyarrow.Table.from_pylist(rows)
    with pyarrow.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def write_arrow_stream(path: Path, rows: list) -> None:
    table = pyarrow.Table.from_pylist(rows)
    with pyarrow.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def write_saved_folder(path: Path, rows: list) -> None:
    # three seconds, here so that collecting the tests stays quick
    datasets = pytest.importorskip("datasets", reason="requirements/extras.txt is not installed")

    datasets.Dataset.from_list(rows).save_to_disk(path, num_shards=2)


WRITERS = {
    "x.jsonl": write_lines,
    "x.ndjson": write_lines,
    "x.json": write_list,
    "x.csv": write_csv,
    "x.parquet": write_parquet,
    "x.arrow": write_arrow_file,
    "stream/x.arrow": write_arrow_stream,
    "x": write_saved_folder,
}


def written(folder: Path, name: str, rows: list) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    WRITERS[name](path, rows)
    return path


def read(path: Path) -> list[RawRow | BadRow]:
    return list(format_of(path).read(path))


@pytest.mark.parametrize("name", WRITERS)
def test_rows_are_the_same_in_every_format(tmp_path, name):
    path = written(tmp_path, name, ROWS)
    assert [row.value for row in read(path)] == ROWS
    assert [row.line for row in read(path)] == ([2, 3, 4] if name == "x.csv" else [1, 2, 3])
    assert set_name(path) == "x"


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("x.jsonl", "line"),
        ("x.ndjson", "line"),
        ("x.csv", "line"),
        ("x.json", "element"),
        ("x.parquet", "row"),
        ("x.arrow", "row"),
        ("x", "row"),
    ],
)
def test_what_the_numbers_of_rows_count(tmp_path, name, unit):
    assert format_of(written(tmp_path, name, ROWS)).unit == unit


def test_a_json_file_that_is_no_list_has_lines(tmp_path):
    write_lines(tmp_path / "x.json", ROWS)
    form = format_of(tmp_path / "x.json")
    assert form.unit == "line"
    assert [row.value for row in form.read(tmp_path / "x.json")] == ROWS


@pytest.mark.parametrize("name", WRITERS)
def test_good_rows_become_json_lines_with_the_same_values(tmp_path, name):
    path = written(tmp_path, name, [ROWS[0], {**ROWS[1], "message": "no turns"}, ROWS[2]])
    write_good_rows(check_file(path, DataSettings(), None), tmp_path / "good.jsonl")
    assert [json.loads(line) for line in (tmp_path / "good.jsonl").read_text().splitlines()] == [ROWS[0], ROWS[2]]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("folder", [".", "other"])
def test_images_are_found_from_the_folder_of_the_copy(tmp_path, save_image, name, folder):
    part, absolute = {"type": "image", "image": "img/a.png"}, {"type": "image", "image": str(tmp_path / "own" / "img" / "a.png")}
    contents = [[part, "1 ?"], ["<image>2 ?"], [absolute, "3 ?"], "4 ü ?", [{"type": "image", "image": "gone.png"}, "5 ?"]]
    rows = [{"message": json.dumps([{"role": "user", "content": content}]), "images": None, "answer": "1"} for content in contents]
    rows[1]["images"] = json.dumps(["img/../img/b.png"])
    (tmp_path / "other").mkdir()
    own = tmp_path / "own"
    save_image("x/img/a.png" if name == "x" else "own/stream/img/a.png" if "/" in name else "own/img/a.png")
    base = next(tmp_path.glob("**/img")).parent
    save_image(str(base / "img" / "b.png"))
    save_image("own/img/a.png")
    own.mkdir(exist_ok=True)
    path = written(tmp_path if name == "x" else own, name, rows)
    report = check_file(path, DataSettings(image_roots=(own,)), None)
    assert [row.line for row in report.bad_rows] == [6 if name == "x.csv" else 5]
    copy = tmp_path / folder / "copy.jsonl"
    write_good_rows(report, copy)
    declared = folder_to_declare(report, copy)
    assert declared == (None if folder == "." else base)
    again = check_file(copy, DataSettings(image_roots=(own, *([declared] if declared else []))), None)
    assert again.is_clean and (again.num_good, again.num_images) == (4, 3)
    values = [row.value for row in read(copy)]
    assert values[3] == rows[3] and values[2] == rows[2], "what has no relative path stays as it is"


def test_what_json_has_no_type_for_is_written_as_text(tmp_path, save_image):
    image = save_image("dot.png").read_bytes()
    table = pyarrow.table(
        {
            "message": [json.dumps([{"role": "user", "content": "<image>?"}])],
            "images": [[{"bytes": image, "path": "gone.png"}]],
            "day": pyarrow.array([0], pyarrow.date32()),
            "raw": [b"\xff"],
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    write_good_rows(check_file(tmp_path / "x.parquet", DataSettings(), None), tmp_path / "good.jsonl")
    value = json.loads((tmp_path / "good.jsonl").read_text())
    assert (value["day"], value["raw"]) == ("1970-01-01", "/w==")
    assert value["images"] == ["data:image/any;base64," + base64.b64encode(image).decode()]
    again = check_file(tmp_path / "good.jsonl", DataSettings(), None)
    assert again.is_clean and again.num_images == 1


def test_half_a_surrogate_pair_in_a_column_that_nobody_reads_is_kept(tmp_path):
    path = tmp_path / "x.jsonl"
    write_lines(path, [{**ROWS[0], "note": "\ud83d"}])
    write_good_rows(check_file(path, DataSettings(), None), tmp_path / "good.jsonl")
    assert read(tmp_path / "good.jsonl")[0].value["note"] == "\ud83d"


def test_a_csv_row_is_named_by_its_first_line(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b'a,b\n"x\ny",1\n\n2\n3,4,5\n"6" 7,8\n\xff,9\n10,11\n"open,12\n13,14\n')
    rows = read(path)
    assert [row.line for row in rows] == [2, 5, 6, 7, 8, 9, 10]
    assert [row.value for row in rows if isinstance(row, RawRow)] == [{"a": "x\ny", "b": "1"}, {"a": "10", "b": "11"}]
    assert {row.kind for row in rows if isinstance(row, BadRow)} == {"cells"}
    assert [row.reason for row in rows if isinstance(row, BadRow)] == [
        "1 cells under the 2 names of the header",
        "3 cells under the 2 names of the header",
        "',' expected after '\"'",
        "a cell is not in UTF-8",
        "unexpected end of data",
    ]


@pytest.mark.parametrize(("text", "reason"), [("", "has no header"), ("a,b,a\n", "names the column 'a' twice")])
def test_a_csv_file_needs_a_header_of_different_names(tmp_path, text, reason):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(BadData, match=reason):
        read(tmp_path / "x.csv")


def test_a_row_of_a_table_that_is_no_utf8_is_named_alone(tmp_path):
    broken = pyarrow.Array.from_buffers(pyarrow.string(), 3, pyarrow.array([b"a", b"\xff", b"c"]).buffers())
    pyarrow.parquet.write_table(pyarrow.table({"message": broken}), tmp_path / "x.parquet")
    first, second, third = read(tmp_path / "x.parquet")
    assert (first.value, third.value) == ({"message": "a"}, {"message": "c"})
    assert (second.line, second.kind) == (2, "cells")


def test_large_rows_are_turned_into_objects_a_few_at_a_time(tmp_path):
    rows = [{"image": {"bytes": bytes([number]) * 2**20, "path": None}} for number in range(40)]
    write_parquet(tmp_path / "x.parquet", rows)
    write_arrow_stream(tmp_path / "x.arrow", rows)
    for name in ("x.parquet", "x.arrow"):
        assert [row.value for row in read(tmp_path / name)] == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.arrow", b"no", "x.arrow is not readable as Arrow after row 0"),
        ("folder/state.json", b"{", "has a state.json without _data_files"),
        ("folder/state.json", b'{"_data_files": [{"filename": "gone.arrow"}]}', "is not readable as Arrow after row 0"),
        ("folder/dataset_dict.json", b'{"splits": ["train", "test"]}', "holds several splits: name one of .*folder/train, .*folder/test"),
        ("folder/data.txt", b"", "has no state.json: give a file of rows, or a folder written by save_to_disk"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_the_way_out(tmp_path, name, content, message):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(path if path.parent == tmp_path else path.parent)


def test_a_stream_that_breaks_off_says_after_which_row(tmp_path):
    path = tmp_path / "x.arrow"
    write_arrow_stream(path, ROWS)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(BadData, match="is not readable as Arrow after row 2"):
        read(path)


def test_a_saved_folder_reads_no_file_outside_itself(tmp_path):
    path = written(tmp_path, "x", ROWS)
    write_arrow_stream(tmp_path / "outside.arrow", ROWS)
    (path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../outside.arrow"}]}))
    with pytest.raises(BadData, match="is not readable"):
        read(path)


def test_splits_that_the_library_saved_are_read_one_by_one_with_their_images(tmp_path):
    datasets = pytest.importorskip("datasets", reason="requirements/extras.txt is not installed")

    features = datasets.Features({"message": datasets.List(datasets.Image()), "answer": datasets.Value("string")})
    rows = [{"message": [{"bytes": bytes([number]), "path": None}], "answer": str(number)} for number in range(3)]
    splits = {name: datasets.Dataset.from_list(part, features=features) for name, part in (("train", rows[:1]), ("test", rows[1:]))}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "x")
    with pytest.raises(ValueError, match=r"holds several splits: name one of .*x/train, .*x/test"):
        read(tmp_path / "x")
    assert [row.value for row in read(tmp_path / "x" / "test")] == rows[1:]
