import random
import re
from collections import Counter

import pytest
from PIL import Image

from examples.quickstart.images import SIDE
from examples.quickstart.make_data import write_training_data
from examples.quickstart.problems import HELD_OUT, text_question, worked_answer

TRAINED_ON = ("fre", "mgt", "cold_start_a", "cold_start_b")


def image_of(row):
    content = row["message"][0]["content"]
    return None if isinstance(content, str) else content[0]["image"]


@pytest.mark.parametrize("name", [*TRAINED_ON, "held_out_text", "held_out_image"])
def test_every_row_asks_about_its_operands(rows, data, name):
    for row in rows(name):
        assert row["answer"] == str(sum(row["operands"]))
        if image_of(row) is None:
            assert row["message"][0]["content"] == text_question(row["operands"])
        else:
            assert row["message"][0]["content"][1] == {"type": "text", "text": "How many dots ?"}
    assert len({row["id"] for row in rows(name)}) == len(rows(name))


def test_held_out_problems_are_in_no_training_file(rows):
    held_out = {tuple(row["operands"]) for row in rows("held_out_text") + rows("held_out_image")}
    assert held_out == set(HELD_OUT)
    for name in TRAINED_ON:
        assert not held_out & {tuple(row["operands"]) for row in rows(name)}


def test_held_out_images_are_in_no_training_file(rows):
    held_out = {image_of(row) for row in rows("held_out_image")}
    assert len(held_out) == 256
    for name in TRAINED_ON:
        assert not held_out & {image_of(row) for row in rows(name)}


def test_images_are_files_of_the_fixed_size(rows, data):
    for row in rows("held_out_image") + rows("mgt")[:100]:
        with Image.open(data / image_of(row)) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (SIDE, SIDE))


def test_demonstrations_take_turns(rows):
    for name in ("cold_start_a", "cold_start_b"):
        assert [row["datasource"] for row in rows(name)] == ["sums", "dots"] * (len(rows(name)) // 2)


def test_about_a_third_of_the_demonstrations_is_worked_out(rows):
    for name in ("cold_start_a", "cold_start_b"):
        worked = Counter((row["datasource"], "+" in row["message"][-1]["content"]) for row in rows(name))
        for source in ("sums", "dots"):
            assert worked[source, True] / len(rows(name)) * 2 == pytest.approx(0.35, abs=0.03)


def test_worked_demonstrations_are_right_where_the_teacher_looks_well(rows):
    for row in rows("cold_start_a"):
        answer = row["message"][-1]["content"]
        assert answer == worked_answer(row["operands"]) or "about" in answer


def test_the_second_teacher_counts_many_dots_one_too_low(rows):
    wrong, right = 0, 0
    for row in rows("cold_start_b"):
        answer = row["message"][-1]["content"]
        if "+" not in answer:
            continue
        first, *later = (int(n) for n in re.findall(r"(?:> |\+ )(\d)\b", answer))
        for seen, operand in zip([first, *later], row["operands"], strict=True):
            if row["datasource"] == "sums" or operand < 7:
                assert seen == operand
            else:
                assert seen in (operand, operand - 1)
                wrong, right = wrong + (seen < operand), right + (seen == operand)
    assert wrong / (wrong + right) == pytest.approx(0.6, abs=0.05)


def test_the_seed_decides_every_byte(data, tmp_path):
    write_training_data(tmp_path / "again")
    write_training_data(tmp_path / "other", seed=1)
    names = [path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file()]
    assert len(names) == 4 + 1500 + 256
    for name in random.Random(0).sample(names, 200) + [path for path in names if path.suffix == ".jsonl"]:
        assert (tmp_path / "again" / name).read_bytes() == (data / name).read_bytes()
    assert (tmp_path / "other" / "fre.jsonl").read_bytes() != (data / "fre.jsonl").read_bytes()
