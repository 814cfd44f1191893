"""What a family has to say: one record per family, in its own `facts.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lmm_r1_mega.families.shape import ModelShape, VisionShape

TowerTensors = Callable[[VisionShape], dict[str, tuple[int, ...]]]
"""Name and shape of every tensor of a vision encoder, without `visual.`."""


@dataclass(frozen=True)
class FamilyFacts:
    """A model family. Classes are `module:Class`: the modules take seconds to import."""

    name: str
    """As it is published, for messages."""
    read: Callable[[Mapping[str, Any]], ModelShape]
    """The shape from a parsed config.json of transformers 4 or 5. Raises: KeyError for a missing key, ValueError for the unsupported."""
    vllm_class: str
    tower_class: str | None = None
    """The vision encoder in transformers, called with `pixel_values` and `grid_thw`."""
    tower_tensors: TowerTensors | None = None
