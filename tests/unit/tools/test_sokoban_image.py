"""Images of rooms, read back."""

import pytest

from lmm_r1_mega.rewards.rules.sokoban_room import parse_room
from tools.sokoban_image import BOX, CELL, FLOOR, PLACED, PLAYER, TARGET, WALL, draw_image

ROOM = "#######\n#@ .$*#\n#######"


def cell(image, row, column):
    """Colours of one place and their number of pixels."""
    corner = CELL * column, CELL * row
    return {color: count for count, color in image.crop((*corner, corner[0] + CELL, corner[1] + CELL)).getcolors(256)}


@pytest.mark.parametrize(
    ("column", "there"),
    [(0, {WALL}), (1, {FLOOR, PLAYER}), (2, {FLOOR}), (3, {FLOOR, TARGET}), (4, {FLOOR, BOX}), (5, {FLOOR, PLACED})],
)
def test_a_place_shows_its_sign_and_no_other(column, there):
    signs = {WALL, FLOOR, PLAYER, TARGET, BOX, PLACED}
    assert {color for color in cell(draw_image(parse_room(ROOM)), 1, column) if color in signs} == there


def test_a_player_on_a_target_shows_both():
    colors = cell(draw_image(parse_room("####\n#+$#\n####")), 1, 1)
    assert colors[PLAYER] > 100 and colors[TARGET] > 20


def test_an_image_has_a_merged_patch_a_place():
    image = draw_image(parse_room(ROOM))
    assert image.mode == "RGB" and image.size == (7 * 28, 3 * 28)
    assert set(cell(image, 0, 3)) == {WALL}
