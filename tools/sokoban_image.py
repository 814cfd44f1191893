"""Images of Sokoban rooms: a square a place, drawn plainly enough for a small vision tower."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image, ImageDraw

from lmm_r1_mega.rewards.rules.sokoban_room import Room, draw_room

CELL = 28
"""Pixels: one merged patch of Qwen2.5-VL's vision tower a place."""
WALL, FLOOR, EDGE = (92, 84, 80), (238, 232, 220), (214, 206, 190)
TARGET, BOX, PLACED, PLAYER = (204, 44, 44), (176, 116, 48), (52, 140, 60), (40, 84, 196)

Pen = ImageDraw.ImageDraw
Corner = tuple[int, int]


def draw_image(room: Room) -> Image.Image:
    """An RGB image of `CELL` pixels a place: walls dark, targets red rings, boxes brown (green on a target), the player a blue disc."""
    lines = draw_room(room).split("\n")
    image = Image.new("RGB", (CELL * len(lines[0]), CELL * len(lines)), WALL)
    pen = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        for column, sign in enumerate(line):
            for paint in PAINTS[sign]:
                paint(pen, (CELL * column, CELL * row))
    return image


def _square(pen: Pen, corner: Corner, *, margin: int, fill: tuple[int, int, int], edge: tuple[int, int, int]) -> None:
    pen.rectangle(_inside(corner, margin), fill=fill, outline=edge)


def _inside(corner: Corner, margin: int) -> tuple[int, int, int, int]:
    left, top = corner
    return left + margin, top + margin, left + CELL - 1 - margin, top + CELL - 1 - margin


def _floor(pen: Pen, corner: Corner) -> None:
    _square(pen, corner, margin=0, fill=FLOOR, edge=EDGE)


def _target(pen: Pen, corner: Corner) -> None:
    pen.ellipse(_inside(corner, 4), outline=TARGET, width=3)


def _box(pen: Pen, corner: Corner) -> None:
    _square(pen, corner, margin=4, fill=BOX, edge=(0, 0, 0))


def _placed(pen: Pen, corner: Corner) -> None:
    _square(pen, corner, margin=4, fill=PLACED, edge=(0, 0, 0))


def _player(pen: Pen, corner: Corner) -> None:
    pen.ellipse(_inside(corner, 8), fill=PLAYER)


PAINTS: dict[str, tuple[Callable[[Pen, Corner], None], ...]] = {
    "#": (),
    " ": (_floor,),
    ".": (_floor, _target),
    "$": (_floor, _box),
    "*": (_floor, _placed),
    "@": (_floor, _player),
    "+": (_floor, _target, _player),
}
"""What is painted for a sign, from below."""
