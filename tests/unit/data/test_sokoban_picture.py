"""Pictures of rooms, read back."""

import pytest

from lmm_r1_mega.data.sokoban_picture import BOX, CELL, FLOOR, PLACED, PLAYER, TARGET, WALL, draw_picture
from lmm_r1_mega.sokoban.room import parse_room

ROOM = "#######\n#@ .$*#\n#######"


def cell(picture, row, column):
    """Colours of one place and their number of pixels."""
    corner = CELL * column, CELL * row
    return {colour: count for count, colour in picture.crop((*corner, corner[0] + CELL, corner[1] + CELL)).getcolors(256)}


@pytest.mark.parametrize(
    ("column", "there"),
    [(0, {WALL}), (1, {FLOOR, PLAYER}), (2, {FLOOR}), (3, {FLOOR, TARGET}), (4, {FLOOR, BOX}), (5, {FLOOR, PLACED})],
)
def test_a_place_shows_its_sign_and_no_other(column, there):
    signs = {WALL, FLOOR, PLAYER, TARGET, BOX, PLACED}
    assert {colour for colour in cell(draw_picture(parse_room(ROOM)), 1, column) if colour in signs} == there


def test_a_player_on_a_target_shows_both():
    colours = cell(draw_picture(parse_room("####\n#+$#\n####")), 1, 1)
    assert colours[PLAYER] > 100 and colours[TARGET] > 20


def test_a_picture_has_a_merged_patch_a_place():
    picture = draw_picture(parse_room(ROOM))
    assert picture.mode == "RGB" and picture.size == (7 * 28, 3 * 28)
    assert set(cell(picture, 0, 3)) == {WALL}
