"""The images of a prompt for people: PNG files of what the model reads."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from lmm_r1_mega.data.images.patches import as_pil_images
from lmm_r1_mega.schema import PromptImages

MAX_SIDE = 512
"""Pixels; what is larger is shown smaller than the model sees it."""


def model_previews(images: PromptImages, *, merge_size: int) -> list[bytes]:
    """Each image of a prompt as a PNG file, as the image processor scaled it; long sides end at `MAX_SIDE`."""
    return [_png(image) for image in as_pil_images(images, merge_size=merge_size)]


def _png(image: Image.Image) -> bytes:
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
