"""Positions of Qwen2.5-VL's rotary embedding: three numbers a token, by its place in the text or in an image."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from lmm_r1_mega.data.chat.vision_spec import VisionSpec


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
            raise ValueError(f"the {count} tokens of an image with grid {grid} are not neighbors: an image's tokens may not be interrupted")
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
