"""How many tokens an image takes, by its width and height alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, sqrt
from pathlib import Path
from typing import Any

from lmm_r1_mega.data.chat.model_files import read_settings

_MAX_RATIO = 200  # of the sides of an image


@dataclass(frozen=True)
class ImageSizes:
    """What an image is scaled to before it is cut into patches, equal to transformers' Qwen2VLImageProcessor (5.19)."""

    min_pixels: int
    max_pixels: int
    patch_size: int
    """Pixels along one side of a patch."""
    merge_size: int
    """Patches along one side of the square that becomes one token."""

    @classmethod
    def load(cls, folder: Path, *, min_pixels: int | None = None, max_pixels: int | None = None) -> ImageSizes:
        """Read a model folder's image settings; the bounds replace the folder's own where given.

        Raises: ValueError where there are none, or the bounds cross.
        """
        found = _settings(folder)
        if not found:
            raise ValueError(f"model.path {folder} has no preprocessor_config.json: copy it from the model's own folder")
        size = found.get("size") or {}
        bounds = {
            "min_pixels": (min_pixels, found.get("min_pixels"), size.get("shortest_edge"), 56 * 56),
            "max_pixels": (max_pixels, found.get("max_pixels"), size.get("longest_edge"), 28 * 28 * 1280),
        }
        low, high = (next(value for value in values if value is not None) for values in bounds.values())
        if low > high:
            raise ValueError(f"data.min_pixels {low} is above data.max_pixels {high}: lower the first, or raise the second")
        return cls(low, high, patch_size=found.get("patch_size", 14), merge_size=found.get("merge_size", 2))

    @property
    def side(self) -> int:
        """Pixels along one side of the square that becomes one token."""
        return self.patch_size * self.merge_size

    def num_tokens(self, width: int, height: int) -> int:
        """Tokens of an image of this size.

        Example: 100 x 50 pixels with sides of 28 are scaled to 112 x 56 -> 8

        Raises: ValueError where it is too narrow.
        """
        columns, rows = (length // self.side for length in self.scaled(width, height))
        return columns * rows

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after scaling: multiples of `side`, about as broad as it was, the area within the bounds.

        Raises: ValueError where it is too narrow.
        """
        ratio = max(width, height) / min(width, height)
        if ratio > _MAX_RATIO:
            raise ValueError(f"its aspect ratio is {ratio:.0f}, which may be {_MAX_RATIO} at most: crop it")
        columns, rows = round(width / self.side), round(height / self.side)
        area = columns * rows * self.side**2
        if area > self.max_pixels:
            shrink = sqrt(width * height / self.max_pixels)
            columns, rows = (max(1, floor(length / shrink / self.side)) for length in (width, height))
        elif area < self.min_pixels:
            grow = sqrt(self.min_pixels / (width * height))
            columns, rows = (ceil(length * grow / self.side) for length in (width, height))
        return columns * self.side, rows * self.side


def _settings(folder: Path) -> dict[str, Any]:
    """Of the image processor: transformers 5 writes them into the whole processor's file, which goes first."""
    return read_settings(folder, "processor_config.json").get("image_processor") or read_settings(folder, "preprocessor_config.json")
