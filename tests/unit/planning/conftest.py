"""Published configurations that ship with the examples."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lmm_r1_mega.families.registry import read_shape
from lmm_r1_mega.families.shape import ModelShape

MODELS = Path(__file__).parents[3] / "examples" / "models"


@pytest.fixture
def published() -> Callable[[str], ModelShape]:
    """Shape of a published Qwen2.5-VL by its size, for example "7B"."""
    return lambda size: read_shape(MODELS / f"Qwen2.5-VL-{size}-Instruct")
