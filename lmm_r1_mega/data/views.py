"""The images of a prompt for people: as PNG files of the size in which the model reads them."""

from __future__ import annotations

import math
from io import BytesIO

from PIL import Image

from lmm_r1_mega.schema import Prompt

MAX_SIDE = 512
"""Pixels; what is larger is shown smaller than the model sees it."""
VALUES_A_PIXEL = 6
"""A patch of the Qwen-VL towers holds a picture twice (two frames of a video), in three colours."""


def model_views(prompt: Prompt) -> list[bytes]:
    """Each image of a prompt as a PNG file, scaled as the image processor scales it; long sides end at `MAX_SIDE`.

    Example: 60 x 40 pixels read as 4 x 3 patches of 14 x 14 -> 56 x 42 pixels
    """
    if prompt.vision is None:
        return []
    patch = math.isqrt(prompt.vision.pixel_values.shape[1] // VALUES_A_PIXEL)
    grids = prompt.vision.grid_thw.tolist()
    return [_png(image, (columns * patch, rows * patch)) for image, (_, rows, columns) in zip(prompt.images, grids, strict=True)]


def _png(image: Image.Image, size: tuple[int, int]) -> bytes:
    seen = image.resize(size, Image.Resampling.BICUBIC)
    seen.thumbnail((MAX_SIDE, MAX_SIDE))
    file = BytesIO()
    seen.save(file, "PNG")
    return file.getvalue()
