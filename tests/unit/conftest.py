"""Fixtures of several folders of unit tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def save_image(tmp_path) -> Callable[..., Path]:
    """Save an image of noise."""

    def save(name: str = "dots.png", *, width: int = 56, height: int = 56, seed: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return save
