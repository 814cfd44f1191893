import random

import numpy as np
import pytest

from examples.quickstart.images import PANEL, RADIUS, SIDE, draw


def dot_area(image, index):
    """Pixels of a panel that are not of its ground, which is its brightest and by far its most even colour."""
    left, top = index % 2 * PANEL, index // 2 * PANEL
    panel = np.asarray(image)[top : top + PANEL, left : left + PANEL]
    return int((panel.min(axis=2) < 215).sum())


@pytest.mark.parametrize("seed", range(20))
def test_the_ink_of_a_panel_is_that_of_its_dots(seed):
    rng = random.Random(seed)
    operands = tuple(rng.randint(1, 9) for _ in range(3))
    image = draw(operands, rng)
    assert image.size == (SIDE, SIDE)
    disc = sum((x * x + y * y) <= (RADIUS + 0.2) ** 2 for x in range(-RADIUS, RADIUS + 1) for y in range(-RADIUS, RADIUS + 1))
    for index, count in enumerate(operands):
        # dots touch and overlap by a pixel or two, and a neighbouring panel cuts or leaves a pixel's breadth at the edge
        assert 0.6 * count * disc <= dot_area(image, index) <= 1.3 * count * disc + 20


def test_the_fourth_panel_is_empty():
    image = np.asarray(draw((9, 9, 9), random.Random(1)))
    assert (image[PANEL + 2 :, PANEL + 2 :] == 255).all()


def test_same_seed_same_image():
    first, again, other = (draw((3, 1, 4), random.Random(seed)).tobytes() for seed in (5, 5, 6))
    assert first == again
    assert first != other
