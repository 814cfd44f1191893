"""Rows with images for the benchmarks."""

from __future__ import annotations

import json
import random
from pathlib import Path

from PIL import Image, ImageDraw

MAX_CIRCLES = 9


def write_image_prompts(folder: Path, count: int, *, size: int, seed: int = 0) -> Path:
    """Write `count` rows, each asking for the circles on an image of `size` x `size` pixels of its own; returns the data file.

    The size should be a multiple of 28, a merged patch of Qwen2.5-VL, so that nothing resizes the images.
    """
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(count):
        circles, name = rng.randint(1, MAX_CIRCLES), f"{index:05}.png"
        _circles(circles, size, rng).save(folder / name)
        question = [{"type": "image", "image": name}, {"type": "text", "text": "How many circles?"}]
        rows.append({"id": f"{index:05}", "message": [{"role": "user", "content": question}], "answer": str(circles)})
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _circles(count: int, size: int, rng: random.Random) -> Image.Image:
    image = Image.new("RGB", (size, size), (255, 255, 255))
    pen, radius = ImageDraw.Draw(image), size // 10
    for _ in range(count):
        x, y = rng.randint(radius, size - radius), rng.randint(radius, size - radius)
        color = rng.randint(0, 200), rng.randint(0, 200), rng.randint(0, 200)
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color)
    return image
