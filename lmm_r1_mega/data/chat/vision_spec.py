"""What a model's configuration says about images: its vision tokens and how many patches become one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmm_r1_mega.data.chat.model_files import read_settings

if TYPE_CHECKING:  # a data file is checked without the seconds and the memory that importing torch takes
    from jaxtyping import Int
    from torch import Tensor

_VISION_TOKENS = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")


@dataclass(frozen=True)
class VisionSpec:
    """What packing and positions have to know about a model's images."""

    image_token_id: int
    video_token_id: int
    vision_start_token_id: int
    vision_end_token_id: int
    merge_size: int
    """Patches along one side of the square that becomes one token."""

    @classmethod
    def load(cls, model_path: Path | str) -> VisionSpec:
        """Read the spec from a Hugging Face folder's `config.json`.

        Raises: ValueError if the folder has no configuration of a vision-language model.
        """
        if not (Path(model_path) / "config.json").is_file():
            raise ValueError(f"model.path {model_path} has no config.json: give a Hugging Face folder")
        return cls.from_config(read_settings(Path(model_path), "config.json"))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VisionSpec:
        """Read the spec from a decoded `config.json`, of transformers 4 (flat text fields) or 5 (`text_config`)."""
        vision, text = config.get("vision_config"), config.get("text_config") or {}
        if not vision:
            raise ValueError(
                f"the model's config.json (model_type {config.get('model_type')!r}) has no vision_config: use a Qwen2.5-VL folder"
            )
        tokens = {name: config.get(name, text.get(name)) for name in _VISION_TOKENS}
        ids = {name: token for name, token in tokens.items() if token is not None}
        if len(ids) < len(tokens):
            missing = ", ".join(sorted(tokens.keys() - ids.keys()))
            raise ValueError(f"the model's config.json lacks {missing}: use a Qwen2.5-VL folder")
        return cls(**ids, merge_size=vision.get("spatial_merge_size", 2))

    @property
    def fill_token_id(self) -> int:
        """A text token for places that only fill a row up; it is never an image token."""
        return 0 if self.image_token_id else 1

    def num_tokens(self, grid_thw: Int[Tensor, "images 3"]) -> list[int]:
        """Tokens that each image takes in the text: t * h * w / merge_size^2.

        Example: grids [[1, 4, 6]] with merge_size 2 -> [6]
        """
        return [int(count) // self.merge_size**2 for count in grid_thw.prod(dim=1)]


def vision_spec_of(model_path: Path | str) -> VisionSpec | None:
    """The spec of a Hugging Face folder; None for a model that sees no images."""
    return VisionSpec.load(model_path) if read_settings(Path(model_path), "config.json").get("vision_config") else None
