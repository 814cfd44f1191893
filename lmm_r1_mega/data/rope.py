"""Positions of Qwen2.5-VL's rotary embedding: three numbers a token, by its place in the text or in an image."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
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

        Raises: ValueError where the folder has no configuration of a vision-language model.
        """
        path = Path(model_path) / "config.json"
        if not path.is_file():
            raise ValueError(f"model.path {model_path} has no config.json: give a Hugging Face folder")
        return cls.from_config(json.loads(path.read_text(encoding="utf-8")))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VisionSpec:
        """Read the spec from a decoded `config.json`, of transformers 4 (flat text fields) or 5 (`text_config`)."""
        vision, text = config.get("vision_config"), config.get("text_config") or {}
        if not vision:
            raise ValueError(
                f"the model's config.json (model_type {config.get('model_type')!r}) has no vision_config: use a Qwen2.5-VL folder"
            )
        found = {name: config.get(name, text.get(name)) for name in _VISION_TOKENS}
        ids = {name: token for name, token in found.items() if token is not None}
        if len(ids) < len(found):
            missing = ", ".join(sorted(found.keys() - ids.keys()))
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


def mrope_positions(
    input_ids: Int[Tensor, "tokens"],
    grid_thw: Int[Tensor, "images 3"] | None,
    spec: VisionSpec,
) -> Int[Tensor, "3 tokens"]:
    """M-RoPE positions (time, height, width) of one sequence, equal to `get_rope_index` of transformers 5.19.

    Text counts up by one on all three axes. An image's token at (t, h, w) of its merged grid has the position of the image's
    start plus (t, h, w); the text after it goes on from start + max(height, width) of the merged grid.

    Example: ids [7, image x 4, 8] with grid [1, 4, 4] and merge_size 2 -> time [0, 1, 1, 1, 1, 3], height [0, 1, 1, 2, 2, 3],
    width [0, 1, 2, 1, 2, 3]

    Raises: ValueError where image tokens and grids do not belong together.
    """
    grids = [] if grid_thw is None else grid_thw.tolist()
    places = (input_ids == spec.image_token_id).nonzero().flatten().tolist()
    _check_image_tokens(len(places), grids, spec)
    parts, start, position, seen = [], 0, 0, 0
    for grid in grids:
        merged = (grid[0], grid[1] // spec.merge_size, grid[2] // spec.merge_size)
        count = merged[0] * merged[1] * merged[2]
        first = places[seen]
        if places[seen + count - 1] != first + count - 1:
            raise ValueError(
                f"the {count} tokens of an image with grid {grid} are not neighbours: an image's tokens may not be interrupted"
            )
        parts += [_text_positions(first - start, position), _image_positions(merged, position + first - start)]
        position += first - start + max(merged[1:])
        start, seen = first + count, seen + count
    parts.append(_text_positions(len(input_ids) - start, position))
    return torch.cat(parts, dim=1)


def _check_image_tokens(found: int, grids: list[list[int]], spec: VisionSpec) -> None:
    expected = sum(t * h * w for t, h, w in grids) // spec.merge_size**2
    if found != expected:
        raise ValueError(
            f"{found} image tokens for grids {grids}, which take {expected}: the prompt must be expanded and may not be cut in an image"
        )


def _text_positions(count: int, start: int) -> Int[Tensor, "3 tokens"]:
    return torch.arange(start, start + count).expand(3, -1)


def _image_positions(merged: tuple[int, int, int], start: int) -> Int[Tensor, "3 tokens"]:
    axes = torch.meshgrid(*(torch.arange(size) for size in merged), indexing="ij")
    return torch.stack(axes).flatten(1) + start
