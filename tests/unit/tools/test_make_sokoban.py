"""Rows of levels, read by the data layer."""

from PIL import Image, ImageChops

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.stream.prompts import read_rows
from lmm_r1_mega.rewards.rules.sokoban_room import parse_room
from tools.make_sokoban import main
from tools.sokoban_image import draw_image
from tools.sokoban_levels import Difficulty


def test_rows_are_good_and_their_images_show_the_answers_room(tmp_path):
    main(tmp_path / "a", Difficulty(boxes=2), count=5, seed=4)
    main(tmp_path / "b", Difficulty(boxes=2), count=5, seed=4)
    rows = list(read_rows(tmp_path / "a" / "levels.jsonl", DataSettings(), purpose="prompts"))
    assert len(rows) == 5
    for row in rows:
        assert row.source == "sokoban" and len(row.images) == 1 and [turn.role for turn in row.turns] == ["system", "user"]
        with Image.open(tmp_path / "a" / row.images[0]) as image:
            assert ImageChops.difference(image, draw_image(parse_room(row.answer))).getbbox() is None
    for path in (tmp_path / "a").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_what_cannot_be_made_is_a_message(tmp_path, capsys):
    assert main(tmp_path / "a", count=0) == 2
    assert main(tmp_path / "a", Difficulty(boxes=99), count=1) == 2
    (tmp_path / "file").touch()
    assert main(tmp_path / "file", count=1) == 2
    messages = capsys.readouterr().err.splitlines()
    assert all(message.startswith("make_sokoban: ") for message in messages) and len(messages) == 3
    assert "--count 0: give a number above 0" in messages[0] and "raise side" in messages[1]
