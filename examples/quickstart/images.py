"""Images of dots: 56 x 56 pixels, four panels in reading order, the first three with dots to count."""

from __future__ import annotations

import random

from PIL import Image, ImageDraw

from examples.quickstart.problems import Operands

SIDE = 56
"""Two merged patches of the vision tower along each side: one a panel."""
PANEL = SIDE // 2
CELL = PANEL // 4
RADIUS = 3

Colour = tuple[int, int, int]


def draw(operands: Operands, rng: random.Random) -> Image.Image:
    """An image whose panels hold `operands` dots, with random light grounds, dark colours and places on a 4 x 4 grid."""
    image = Image.new("RGB", (SIDE, SIDE), (255, 255, 255))
    pen = ImageDraw.Draw(image)
    for index, count in enumerate(operands):
        left, top = index % 2 * PANEL, index // 2 * PANEL
        ground = rng.randint(225, 255), rng.randint(225, 255), rng.randint(225, 255)
        pen.rectangle([left, top, left + PANEL - 1, top + PANEL - 1], fill=ground)
        colour = _dark_colour(rng)
        for cell in rng.sample(range(16), count):
            x = left + cell % 4 * CELL + CELL // 2 + rng.randint(-1, 1)
            y = top + cell // 4 * CELL + CELL // 2 + rng.randint(-1, 1)
            pen.ellipse([x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS], fill=colour)
    return image


def _dark_colour(rng: random.Random) -> Colour:
    """A dark colour, one channel of which may be brighter."""
    channels = [rng.randint(0, 110) for _ in range(3)]
    channels[rng.randrange(3)] = rng.randint(0, 200)
    red, green, blue = channels
    return red, green, blue
