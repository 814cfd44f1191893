"""The samples that a page has room for, with their prompts and images."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from lmm_r1_mega.record.folder import RunFolder
from lmm_r1_mega.report.embed import num_bytes
from lmm_r1_mega.report.rows import SampleRow, places, rows_at
from lmm_r1_mega.rewards.rules.names import is_right

SAMPLE_BYTES = 3_000_000
IMAGE_BYTES = 16_000_000
MAX_LETTERS = 20_000
"""Of one text."""
IMAGE_NAME = re.compile(r"images/[0-9a-f]{16}\.png")


@dataclass
class Samples:
    """Samples of one or two runs, of steps as evenly spread as it goes, and what belongs to them."""

    folders: Sequence[Path]
    prompts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By their whole content, so that runs over different files meet in the same question."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)
    """`data:` URI of each image file."""
    num_recorded: int = 0
    _free: int = SAMPLE_BYTES
    _free_for_images: int = IMAGE_BYTES

    def add(self, run: int, rows: Iterable[SampleRow]) -> None:
        """Take in rows of a run while there is room; the rest is not read."""
        for row in rows:
            self._add(run, row)
            if self._free <= 0:
                return

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another row."""
        return self._free <= 0

    def _add(self, run: int, row: SampleRow) -> None:
        prompt = {name: cut(row.get(name)) for name in ("prompt", "answer", "source")} | {"images": list(row.get("images") or ())}
        key = json.dumps([prompt, None if "images" in row else row.get("prompt_id")])  # without its images only the id tells prompts apart
        if key not in self.prompts:
            self.prompts[key] = prompt | {"number": len(self.prompts)}
            self._free -= num_bytes(prompt)
            for name in prompt["images"]:
                self._add_image(run, name)
        parts = row.get("parts") or {}
        sample = {name: cut(row.get(name)) for name in ("step", "response", "finish_reason", "num_tokens", "reward", "invalid")}
        shown_parts = {name: cut(value) for name, value in parts.items()}
        sample |= {"run": run, "prompt": self.prompts[key]["number"], "parts": shown_parts, "right": is_right(parts)}
        self._free -= num_bytes(sample)
        self.samples.append(sample)

    def _add_image(self, run: int, name: str) -> None:
        """Reads an image; names that no run writes, missing files and what is too much are passed over."""
        path = self.folders[run] / name
        if name in self.images or not IMAGE_NAME.fullmatch(name) or not path.is_file() or path.stat().st_size > self._free_for_images:
            return
        self.images[name] = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
        self._free_for_images -= len(self.images[name])


def read_samples(runs: Sequence[RunFolder]) -> Samples:
    """What fits of the samples of runs, in the order of their steps.

    Raises:
        BadData: a file is damaged.
    """
    shown = Samples([run.path for run in runs])
    starts: list[dict[int, list[int]]] = []
    for run in runs:
        found = places(run.rollouts_file)
        shown.num_recorded += len(found)
        by_step = groupby(sorted(found, key=lambda place: place.step), key=lambda place: place.step)
        starts.append({step: [place.start for place in of_step] for step, of_step in by_step})
    for step in coarse_to_fine(sorted(set().union(*starts))):
        for number, run in enumerate(runs):
            if not shown.is_full:
                shown.add(number, rows_at(run.rollouts_file, starts[number].get(step, [])))
    shown.samples.sort(key=lambda one: one["step"])
    return shown


def coarse_to_fine(steps: Sequence[int]) -> list[int]:
    """The same steps, so ordered that every beginning of the list is spread over all of them.

    Example: 1..8 -> 8, 1, 5, 3, 7, 2, 4, 6
    """
    last = len(steps) - 1
    order = sorted(range(len(steps)), key=lambda place: (place not in (0, last), -(place & -place)))
    return [steps[place] for place in order]


def cut(value: Any, max_letters: int = MAX_LETTERS) -> Any:
    """The value; of a long text the beginning and how much is left out, of a number that JSON has not its name."""
    if isinstance(value, str) and len(value) > max_letters:
        return f"{value[:max_letters]} … {len(value) - max_letters} more letters"
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
