"""What a report shows, as plain data out of the folders of one or two runs, thinned so that the page stays small."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmm_r1_mega.errors import BadData
from lmm_r1_mega.record.folder import RunFolder
from lmm_r1_mega.record.lines import read_rows
from lmm_r1_mega.settings import read_tree

CURVE_BYTES = 1_000_000
SAMPLE_BYTES = 3_000_000
IMAGE_BYTES = 16_000_000
MAX_POINTS = 1000
"""Of one curve."""
MAX_LETTERS = 20_000
"""Of one text."""
BYTES_A_POINT = 16
IMAGE_NAME = re.compile(r"images/[0-9a-f]{16}\.png")
ACCURACY = "accuracy"

Row = Mapping[str, Any]


def read_content(runs: Sequence[RunFolder]) -> dict[str, Any]:
    """Curves, samples, images and settings of runs.

    Raises:
        BadData: a file of a run is damaged.
    """
    recorded = [_rows(run.rollouts_file) for run in runs]
    shown = Samples([run.path for run in runs])
    shown.take(recorded)
    metrics = [_rows(run.metrics_file) for run in runs]
    return {
        "runs": [_run(run, rows, share=len(runs)) for run, rows in zip(runs, metrics, strict=True)],
        "prompts": list(shown.prompts.values()),
        "samples": shown.samples,
        "images": shown.images,
        "recorded": sum(len(rows) for rows in recorded),
    }


@dataclass
class Samples:
    """The samples that fit on a page, whole steps as evenly spread as it goes, and what belongs to them."""

    folders: Sequence[Path]
    prompts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By their whole content, so that runs over different files meet in the same question."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)
    """`data:` URI of each image file."""
    _free: int = SAMPLE_BYTES
    _free_for_images: int = IMAGE_BYTES

    def take(self, recorded: Sequence[Sequence[Row]]) -> None:
        """Fill with rows of each run, in the order of their steps."""
        by_step: dict[int, list[tuple[int, Row]]] = {}
        for run, rows in enumerate(recorded):
            for row in rows:
                by_step.setdefault(row["step"], []).append((run, row))
        for step in coarse_to_fine(sorted(by_step)):
            for run, row in by_step[step]:
                if self._free > 0:
                    self._add(run, row)
        self.samples.sort(key=lambda one: one["step"])

    def _add(self, run: int, row: Row) -> None:
        prompt = {name: _cut(row.get(name)) for name in ("prompt", "answer", "source")} | {"images": list(row.get("images", ()))}
        key = json.dumps([prompt, None if "images" in row else row.get("prompt_id")])  # without its images only the id tells prompts apart
        if key not in self.prompts:
            self.prompts[key] = prompt | {"number": len(self.prompts)}
            self._free -= _num_bytes(prompt)
            for name in prompt["images"]:
                self._add_image(run, name)
        parts = row.get("parts") or {}
        sample = {name: _cut(row.get(name)) for name in ("step", "response", "finish_reason", "num_tokens", "reward", "invalid")}
        shown_parts = {name: _cut(value) for name, value in parts.items()}
        sample |= {"run": run, "prompt": self.prompts[key]["number"], "parts": shown_parts, "right": _is_right(parts)}
        self._free -= _num_bytes(sample)
        self.samples.append(sample)

    def _add_image(self, run: int, name: str) -> None:
        """Reads an image; names that no run writes, missing files and what is too much are passed over."""
        path = self.folders[run] / name
        if name in self.images or not IMAGE_NAME.fullmatch(name) or not path.is_file() or path.stat().st_size > self._free_for_images:
            return
        self.images[name] = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
        self._free_for_images -= len(self.images[name])


def coarse_to_fine(steps: Sequence[int]) -> list[int]:
    """The same steps, so ordered that every beginning of the list is spread over all of them.

    Example: 1..8 -> 8, 1, 5, 3, 7, 2, 4, 6
    """
    last = len(steps) - 1
    order = sorted(range(len(steps)), key=lambda place: (place not in (0, last), -(place & -place)))
    return [steps[place] for place in order]


def curves(rows: Iterable[Row], *, max_points: int) -> dict[str, list[list[float | None]]]:
    """Steps and values of each metric, not more than about `max_points` of them; values that are not finite are None."""
    points: dict[str, list[tuple[int, float | None]]] = {}
    for row in rows:
        for name, value in row.items():
            if name != "step" and isinstance(value, int | float):
                points.setdefault(name, []).append((row["step"], float(f"{value:.5g}") if math.isfinite(value) else None))
    return {name: [list(axis) for axis in zip(*_thinned(found, max_points), strict=True)] for name, found in points.items()}


def embedded(value: Any) -> str:
    """JSON that may stand inside an HTML element: no `<` is left that could end it or open another."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _run(run: RunFolder, rows: list[dict[str, Any]], *, share: int) -> dict[str, Any]:
    num_curves = len({name for row in rows for name in row})
    max_points = min(MAX_POINTS, CURVE_BYTES // (BYTES_A_POINT * share * max(1, num_curves)))
    settings = read_tree(run.config_file) if run.config_file.stat().st_size else {}
    return {
        "name": run.path.name,
        "verb": run.verb,
        "finished": run.is_finished,
        "settings": dict(_flat(settings)),
        "curves": curves(rows, max_points=max(2, max_points)),
    }


def _rows(file: Path) -> list[dict[str, Any]]:
    try:
        rows = read_rows(file)
    except ValueError as error:
        raise BadData(f"{file} has a line that is no JSON ({error}): delete the line") from None
    if not all(isinstance(row, dict) and isinstance(row.get("step"), int) for row in rows):
        raise BadData(f"{file} has a line without a whole number `step`: delete the line")
    return rows


def _thinned(points: list[tuple[int, float | None]], max_points: int) -> list[tuple[int, float | None]]:
    stride = math.ceil(len(points) / max_points)
    return points[::stride] + (points[-1:] if (len(points) - 1) % stride else [])


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """{a: {b: 1}} -> (a.b, "1")"""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def _num_bytes(value: Any) -> int:
    return len(embedded(value).encode(errors="backslashreplace"))


def _cut(value: Any) -> Any:
    """The value; of a long text the beginning and how much is left out, of a number that JSON has not its name."""
    if isinstance(value, str) and len(value) > MAX_LETTERS:
        return f"{value[:MAX_LETTERS]} … {len(value) - MAX_LETTERS} more letters"
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _is_right(parts: Mapping[str, float]) -> bool | None:
    """Whether the answer is fully right; None where nothing says so."""
    return parts[ACCURACY] >= 1 if ACCURACY in parts else None
