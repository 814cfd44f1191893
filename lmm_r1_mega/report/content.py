"""What a report shows, as plain data out of the folders of one or two runs, thinned so that the page stays small."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lmm_r1_mega.config.reading import read_tree
from lmm_r1_mega.record.folder import RunFolder
from lmm_r1_mega.report.curves import CurvePoint, course, highest, points_by_name, thinned
from lmm_r1_mega.report.rows import checked_rows
from lmm_r1_mega.report.samples import cut, read_samples

CURVE_BYTES = 1_000_000
MAX_POINTS = 1000
"""Of one curve."""
BYTES_A_POINT = 16
MAX_SETTING_LETTERS = 2000
OVERVIEW = {
    "reward": "reward",
    "completions/mean_length": "response tokens",
    "completions/clipped_ratio": "truncated responses, share",
    "perf/tokens_per_s": "tokens a second",
    "time/step": "seconds a step",
}
"""Metrics whose beginning and end stand at the top of the page, after the held-out accuracies."""
ACCURACY = re.compile(r"eval/(?P<file>.+)/accuracy")


def read_content(runs: Sequence[RunFolder]) -> dict[str, Any]:
    """Curves, samples, images and settings of runs.

    Raises:
        BadData: a file of a run is damaged.
    """
    shown = read_samples(runs)
    return {
        "runs": [_run(run, share=len(runs)) for run in runs],
        "prompts": list(shown.prompts.values()),
        "samples": shown.samples,
        "images": shown.images,
        "recorded": shown.num_recorded,
    }


def _run(run: RunFolder, *, share: int) -> dict[str, Any]:
    points = points_by_name(checked_rows(run.metrics_file))
    max_points = min(MAX_POINTS, CURVE_BYTES // (BYTES_A_POINT * share * max(1, len(points))))
    kept = {name: thinned(found, max(2, max_points)) for name, found in points.items()}
    return {
        "name": run.path.name,
        "verb": run.verb,
        "finished": run.is_finished,
        "done": max((found[-1][0] for found in points.values()), default=0),
        "settings": _settings(run),
        "overview": _overview(points),
        "curves": {name: [list(axis) for axis in zip(*found, strict=True)] for name, found in kept.items()},
    }


def _overview(points: Mapping[str, list[CurvePoint]]) -> dict[str, dict[str, Any]]:
    """Held-out accuracies from first to last, and the best one; the other figures by the means of a few steps."""
    held_out = [(match["file"], found) for name, found in points.items() if (match := ACCURACY.fullmatch(name))]
    best = {f"{file}, held-out accuracy": {"course": course(found, tail=1), "best": highest(found)} for file, found in held_out}
    return best | {label: {"course": course(points[name])} for name, label in OVERVIEW.items() if name in points}


def _settings(run: RunFolder) -> dict[str, str]:
    """Dotted names and values; none where the file is missing or empty."""
    file = run.config_file
    tree = read_tree(file) if file.is_file() and file.stat().st_size else {}
    return {name: cut(value, MAX_SETTING_LETTERS) for name, value in _flat(tree)}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """{a: {b: 1}} -> (a.b, "1")"""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)
