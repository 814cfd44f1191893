"""Images as the model sees them, for people."""

from io import BytesIO

import numpy as np
import torch
from PIL import Image

from lmm_r1_mega.data.views import MAX_SIDE, model_views
from lmm_r1_mega.schema import Prompt, Vision


def prompt(images, grids, *, patch=14):
    patches = sum(rows * columns for _, rows, columns in grids)
    vision = Vision(torch.zeros(patches, 6 * patch**2), torch.tensor(grids)) if grids else None
    return Prompt("a:1", "a", "text", (1,), (1,), tuple(images), vision, None)


def opened(png):
    return Image.open(BytesIO(png), formats=["PNG"])


def test_the_size_is_that_of_the_patches():
    images = [Image.new("RGB", (60, 40), "red"), Image.new("RGB", (30, 90), "blue")]
    views = [opened(view) for view in model_views(prompt(images, [[1, 2, 4], [1, 8, 2]]))]
    assert [view.size for view in views] == [(56, 28), (28, 112)]
    assert [view.getpixel((5, 5)) for view in views] == [(255, 0, 0), (0, 0, 255)]
    assert opened(model_views(prompt(images[:1], [[1, 2, 4]], patch=16))[0]).size == (64, 32)


def test_an_image_of_the_right_size_is_kept_pixel_by_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (28, 56, 3), dtype=np.uint8)
    [view] = model_views(prompt([Image.fromarray(pixels)], [[1, 2, 4]]))
    assert np.array_equal(np.asarray(opened(view)), pixels)


def test_a_large_one_is_shown_smaller_in_its_shape():
    [view] = model_views(prompt([Image.new("RGB", (2000, 1000))], [[1, 72, 144]]))
    assert opened(view).size == (MAX_SIDE, MAX_SIDE // 2)


def test_no_images_no_views():
    assert model_views(prompt([], [])) == []
