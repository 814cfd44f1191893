"""Unusual images: each gives the pixels that it stands for, or is refused with the reason."""

import re

import numpy as np
import pytest
from odd_images import Odd, all_odd

from lmm_r1_mega.data.images.decode import ImageLimits, ImageRefused, load_image, locate_image, measure_image

ODD = all_odd()


def test_they_are_many_and_unlike_one_another():
    assert len({odd.content for odd in ODD}) == len({odd.name for odd in ODD}) == len(ODD) >= 60


@pytest.mark.parametrize("odd", ODD, ids=[odd.name for odd in ODD])
def test_an_odd_image(odd: Odd, tmp_path):
    """Under a name that says nothing right about it."""
    (tmp_path / "image.png.jpg").write_bytes(odd.content)
    limits = ImageLimits(tmp_path, (), max_bytes=2**20, max_pixels=10_000)
    source = locate_image("image.png.jpg", limits)
    try:
        size = measure_image(source, limits).size
        pixels = np.asarray(load_image(source, limits)).astype(int)
    except ImageRefused as refusal:
        assert odd.refusal, refusal
        assert re.search(odd.refusal, str(refusal)), refusal
        return
    assert odd.pixels is not None, pixels
    assert sorted(size) == sorted(pixels.shape[:2])
    assert pixels.shape == odd.pixels.shape
    assert np.abs(pixels - odd.pixels).max() <= odd.tolerance
