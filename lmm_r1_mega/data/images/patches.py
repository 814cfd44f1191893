"""An image's bytes, cut into patches: from them the vision tower's numbers and, the other way, the image.

Between decoding and use an image is the bytes of its patches. What the vision tower reads is eight times as large (four bytes a
number, every pixel twice along time) and is made where and when it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from lmm_r1_mega.schema import PromptImages


@dataclass(frozen=True)
class PixelScale:
    """How a model's image processor makes numbers out of bytes."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Of red, green and blue, on the scale on which a byte of 255 is 255 x `factor`."""
    factor: float
    frames: int
    """Times that an image is repeated along time."""

    def pixel_values(self, patches: UInt8[Tensor, "patches bytes"]) -> Float[Tensor, "patches features"]:
        """What the vision tower reads, on the device of the bytes; equal to the image processor's to the last bit.

        Every operation is one float32 operation of transformers 5.19, in its order.
        """
        mean, std = (torch.tensor(values, device=patches.device) * (1.0 / self.factor) for values in (self.mean, self.std))
        colours = patches.unflatten(1, (3, -1)).to(torch.float32)
        colours = colours.sub_(mean[:, None]).div_(std[:, None])
        return colours[:, :, None].expand(-1, -1, self.frames, -1).flatten(1)


def as_pil_images(images: PromptImages, *, merge_size: int) -> list[Image.Image]:
    """The resized images again, for whoever makes patches of them anew; inverse of the cut into patches."""
    counts = images.grid_thw.prod(dim=1).tolist()
    parts = zip(images.patches.split(counts), images.grid_thw.tolist(), strict=True)
    return [_image(part, grid[1], grid[2], merge_size) for part, grid in parts]


def _image(patches: UInt8[Tensor, "patches bytes"], rows: int, columns: int, merge: int) -> Image.Image:
    """One image of `rows` x `columns` patches, which stand in squares of `merge` x `merge`."""
    side = isqrt(patches.shape[1] // 3)
    blocks = patches.reshape(rows // merge, columns // merge, merge, merge, 3, side, side)
    whole = blocks.permute(0, 2, 5, 1, 3, 6, 4).reshape(rows * side, columns * side, 3)
    return Image.fromarray(whole.numpy())


def join_images(image_sets: list[PromptImages]) -> PromptImages | None:
    """Images of several sequences, or of one prompt, as one; in their order. None if there are none."""
    if len(image_sets) < 2:
        return image_sets[0] if image_sets else None
    return PromptImages(
        patches=torch.cat([images.patches for images in image_sets]),
        grid_thw=torch.cat([images.grid_thw for images in image_sets]),
    )
