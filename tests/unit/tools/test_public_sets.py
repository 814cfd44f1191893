"""Rows of public sets in their published layout, made by hand, become rows that training reads."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.formats.rows import RowRefused
from lmm_r1_mega.data.images.decode import locate_image
from lmm_r1_mega.data.stream.prepare import image_limits
from lmm_r1_mega.data.stream.prompts import read_rows
from lmm_r1_mega.rewards.answers.equality import gold_problem
from lmm_r1_mega.rewards.answers.extract import format_reward
from tools.prepare_data import main, write_rows
from tools.public_sets import SYSTEM_PROMPT, SourceImages, SourceReport, prepared_rows


def written(name, rows, tmp_path, *, root=None):
    """What the tool makes of rows in a JSON Lines file, as training reads it."""
    source = tmp_path / "published.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    outcome = SourceReport()
    out = tmp_path / f"{name}.jsonl"
    write_rows(prepared_rows(name, source, SourceImages(root or tmp_path, tmp_path / f"{name}_images"), outcome), out)
    rows_read = list(read_rows(out, DataSettings(), purpose="prompts")) if out.exists() else []
    out.unlink(missing_ok=True)
    return rows_read, outcome


def user_parts(row):
    assert row.turns[0].text == SYSTEM_PROMPT and [turn.role for turn in row.turns] == ["system", "user"]
    return row.turns[1].parts


def test_the_example_of_the_system_prompt_has_the_form_that_it_asks_for():
    example = SYSTEM_PROMPT.partition("Example: ")[2]
    assert format_reward(example) == 1.0


def test_gsm8k(tmp_path):
    published = {
        "question": "Ann has 1,000 apples and buys 234 more. How many has she?",
        "answer": "She has 1000 + 234 = <<1000+234=1234>>1234.\n#### 1,234",
    }
    [row], outcome = written("gsm8k", [published, {"question": "?", "answer": "no marker"}, {"text": "other"}], tmp_path)
    assert user_parts(row) == (published["question"],)
    assert (row.answer, row.source, row.id) == ("1234", "gsm8k", "gsm8k:000001")
    assert [(bad.line, bad.kind) for bad in outcome.bad_rows] == [(2, "answer"), (3, "row")]


def test_deepscaler_as_first_published_and_in_lmm_r1s_rows(tmp_path):
    message = [
        {"role": "system", "content": "Their prompt."},
        {"role": "user", "content": [{"type": "text", "text": "Add 1 and 1."}]},
    ]
    rows = [
        {"problem": "What is $-\\frac{4}{6}$?", "answer": "-\\frac{2}{3}", "solution": "..."},
        {"message": json.dumps(message), "answer": "$2$", "question": "Add 1 and 1."},
    ]
    first, second = written("deepscaler", rows, tmp_path)[0]
    assert (user_parts(first), first.answer) == (("What is $-\\frac{4}{6}$?",), "-\\frac{2}{3}")
    assert (user_parts(second), second.answer) == (("Add 1 and 1.",), "$2$")
    assert [gold_problem(row.answer) for row in (first, second)] == [None, None]


def test_vermulti_images_are_found_wherever_they_were(tmp_path, save_image):
    (tmp_path / "set" / "images").mkdir(parents=True)
    save_image("set/images/7.png")
    content = [{"type": "text", "text": "How many?"}, {"type": "image", "image": "file:///root/projects/data//images/7.png"}]
    row = {"message": json.dumps([{"role": "user", "content": content}]), "answer": "$\\boxed{A}$", "datasource": "charts"}
    [found], _ = written("vermulti", [row], tmp_path, root=tmp_path / "set")
    assert user_parts(found) == ("How many?", None) and found.source == "charts"
    assert found.images == (str(tmp_path / "set/images/7.png"),)
    locate_image(found.images[0], image_limits(tmp_path / "vermulti.jsonl", DataSettings(image_roots=(tmp_path / "set",))))
    _, outcome = written("vermulti", [row], tmp_path, root=tmp_path / "elsewhere")
    [bad] = outcome.bad_rows
    assert bad.kind == "image" and "--images" in bad.reason


def test_a_published_path_does_not_leave_the_root(tmp_path, save_image):
    (tmp_path / "set").mkdir()
    save_image("secret.png")
    row = {"message": [{"role": "user", "content": [{"type": "image", "image": "../secret.png"}]}], "answer": "1"}
    rows, outcome = written("vermulti", [row], tmp_path, root=tmp_path / "set")
    assert rows == [] and [bad.kind for bad in outcome.bad_rows] == ["image"]


def test_mathv360k_geometry_takes_the_geometry_and_the_final_answer(tmp_path, save_image):
    (tmp_path / "data_images" / "GeoQA+" / "images").mkdir(parents=True)
    save_image("data_images/GeoQA+/images/12.png")
    asked = "<image>\nHint: Please answer with the option letter.\nQuestion: Angle 1?\nChoices:\n(A) 30\n(B) 40"
    rows = [
        {
            "id": "a",
            "image": "GeoQA+/images/12.png",
            "conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": "The answer is B."}],
        },
        {"id": "b", "image": "TabMWP/images/1.png", "conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": "3"}]},
    ]
    [row], outcome = written("mathv360k_geometry", rows, tmp_path, root=tmp_path / "data_images")
    assert (row.answer, row.source, outcome.num_others) == ("B", "GeoQA+", 1)
    assert user_parts(row) == (None, asked.removeprefix("<image>\n"))
    rows[0]["image"] = "Geometry3K/images/12.png"
    for root in (tmp_path / "data_images", tmp_path / "data_images" / "GeoQA+"):
        found, outcome = written("mathv360k_geometry", rows, tmp_path, root=root)
        assert found == [] and [bad.kind for bad in outcome.bad_rows] == ["image"], "the image of the same number of another set"


def test_two_published_images_are_not_one_file(tmp_path, save_image):
    (tmp_path / "images").mkdir()
    save_image("images/1.png")
    images = SourceImages(tmp_path, tmp_path)
    assert images.find("/a/images/1.png") == images.find("/a/images/1.png") == str(tmp_path / "images" / "1.png")
    with pytest.raises(RowRefused, match=r"would be both /a/images/1\.png and /b/images/1\.png: give the folder that holds both"):
        images.find("/b/images/1.png")


def test_rows_that_are_no_questions_are_bad_rows_and_no_end(tmp_path):
    turn = {"role": "user", "content": "?"}
    reply = {"role": "assistant", "content": "1"}
    cases = {
        "gsm8k": [{"question": None, "answer": "#### 1"}, {"question": " ", "answer": "#### 1"}],
        "deepscaler": [{"problem": 3, "answer": "1"}, {"problem": "?", "answer": ""}, {"problem": "?", "answer": None}],
        "vermulti": [{"message": [turn, reply], "answer": "1"}, {"message": [turn, reply, turn], "answer": "1"}],
        "mathv360k_geometry": [{"image": "GEOS/1.png", "conversations": [{"value": None}, {"value": "1"}]}],
        "geometry3k": [
            {"problem": None, "answer": "1", "images": []},
            {"problem": "<image>?", "answer": "1", "images": [{"bytes": None, "path": None}]},
            {"problem": "<image>?", "answer": "1", "images": [None]},
        ],
    }
    for name, rows in cases.items():
        found, outcome = written(name, rows, tmp_path)
        assert found == [] and [bad.line for bad in outcome.bad_rows] == list(range(1, len(rows) + 1))


def test_the_folder_that_training_has_to_read_is_told(tmp_path, save_image, capsys):
    (tmp_path / "set" / "images").mkdir(parents=True)
    save_image("set/images/7.png")
    content = [{"type": "text", "text": "How many?"}, {"type": "image", "image": "data/images/7.png"}]
    source = tmp_path / "set" / "rows.jsonl"
    source.write_text(json.dumps({"message": [{"role": "user", "content": content}], "answer": "1"}) + "\n", encoding="utf-8")
    assert main("vermulti", str(source), tmp_path / "out" / "rows.jsonl") == 0
    assert f"--data.image_roots {tmp_path / 'set'}\n" in capsys.readouterr().out
    assert main("vermulti", str(source), tmp_path / "out" / "rows.jsonl", images=tmp_path / "gone") == 2
    assert main("vermulti", str(source), source / "rows.jsonl") == 2


def test_geometry3k_out_of_parquet_writes_its_images(tmp_path, save_image):
    content = save_image("figure.png").read_bytes()
    rows = [
        {"images": [{"bytes": content, "path": None}], "problem": "<image>Find $x$.", "answer": "2 \\sqrt { 221 }"},
        {"images": [{"bytes": content, "path": None}], "problem": "<image><image>Find $y$.", "answer": "3"},
        {"images": [{"bytes": b"GIF89a", "path": None}], "problem": "<image>Find $z$.", "answer": "3"},
    ]
    source, out = tmp_path / "train-00000.parquet", tmp_path / "data" / "geometry3k.jsonl"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), source)
    assert main("geometry3k", str(source), out) == 0
    [row] = list(read_rows(out, DataSettings(), purpose="prompts"))
    assert user_parts(row) == (None, "Find $x$.") and gold_problem(row.answer) is None
    assert row.images == ("geometry3k_images/000001_0.png",)
    assert (out.parent / row.images[0]).read_bytes() == content
    locate_image(row.images[0], image_limits(out, DataSettings()))


def test_rows_are_made_one_by_one(tmp_path):
    """The second row is not read before it is asked for, so a set need not fit into memory."""
    source = tmp_path / "many.jsonl"
    source.write_text('{"question": "?", "answer": "#### 1"}\n' * 3, encoding="utf-8")
    stream = prepared_rows("gsm8k", source, SourceImages(tmp_path, tmp_path), SourceReport())
    next(stream)
    with source.open("a", encoding="utf-8") as file:
        file.write('{"question": "late?", "answer": "#### 1"}\n' * 100_000)
    assert len(list(stream)) == 2 + 100_000


def test_an_unfinished_file_does_not_replace_an_older_one(tmp_path):
    out = tmp_path / "rows.jsonl"
    out.write_text("old", encoding="utf-8")

    def failing():
        yield {}
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write_rows(failing(), out)
    assert out.read_text(encoding="utf-8") == "old"
    assert write_rows([], out) == 0
    assert out.read_text(encoding="utf-8") == "old" and list(tmp_path.iterdir()) == [out]


def test_wrong_names_and_files_are_messages(tmp_path, capsys):
    assert main("gsm9k", "a.jsonl", tmp_path / "o.jsonl") == 2
    assert main("gsm8k", str(tmp_path / "gone.jsonl"), tmp_path / "o.jsonl") == 2
    assert main("reasoning_gym", "gcd", tmp_path / "o.jsonl", count=0) == 2
    printed = capsys.readouterr().err
    assert "no set gsm9k: use one of deepscaler, vermulti, mathv360k_geometry, gsm8k, geometry3k" in printed
    assert "gone.jsonl does not exist" in printed
    empty = tmp_path / "empty.jsonl"
    empty.write_text("{}\n", encoding="utf-8")
    assert main("gsm8k", str(empty), tmp_path / "o.jsonl") == 65
