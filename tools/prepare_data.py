"""Rows for training from public sets, out of files that you have, and from reasoning-gym's generators.

python -m tools.prepare_data gsm8k train.parquet data/gsm8k.jsonl
python -m tools.prepare_data mathv360k_geometry train_samples_all_tuning.json data/mathv360k_geometry.jsonl --images data_images
python -m tools.prepare_data reasoning_gym gcd,zebra_puzzles data/reasoning.jsonl --count 5000
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import tyro

from lmm_r1_mega.data.stream.files import describe_bad_rows
from lmm_r1_mega.errors import BAD_DATA, DONE, USAGE
from tools.public_sets import SourceImages, SourceReport, as_row, prepared_rows
from tools.reasoning_tasks import JUDGED, reasoning_problems

REASONING = "reasoning_gym"


def main(
    name: tyro.conf.Positional[str],
    source: tyro.conf.Positional[str],
    out: tyro.conf.Positional[Path],
    *,
    images: Path | None = None,
    count: int = 1000,
    seed: int = 0,
) -> int:
    """Write rows of `message` and `answer`.

    Args:
        name: deepscaler, vermulti, mathv360k_geometry, gsm8k, geometry3k or reasoning_gym.
        source: The published file (JSON Lines, JSON, Parquet or a name `hub:...`); for reasoning_gym names of tasks with commas, or all.
        out: File of rows to write, .jsonl; images that lie inside the source are written beside it.
        images: Folder below which the published image paths are looked for; the source's own where left out.
        count: Problems to generate with reasoning_gym.
        seed: Their seed.
    """
    outcome = SourceReport()
    source_images = SourceImages(images or Path(source).parent, out.parent / f"{out.stem}_images")
    try:
        if images is not None and not images.is_dir():
            raise ValueError(f"--images {images} is no folder: give the one that holds the images")
        if name == REASONING:
            rows = _generated(source, count, seed, source_images)
        else:
            rows = prepared_rows(name, Path(source), source_images, outcome)
        num_written = write_rows(rows, out)
    except (ValueError, OSError) as error:
        print(f"prepare_data: {error}", file=sys.stderr)
        return USAGE
    print(f"{num_written} rows {f'in {out}' if num_written else 'and nothing written'}; {outcome.num_others} of another part of the set")
    if num_written and source_images.found:
        print(f"to train on them: --data.image_roots {source_images.root.resolve()}")
    if outcome.bad_rows:
        print(f"{len(outcome.bad_rows)} rows cannot be used:\n{describe_bad_rows(outcome.bad_rows)}", file=sys.stderr)
    return DONE if num_written else BAD_DATA


def write_rows(rows: Iterable[dict[str, Any]], out: Path) -> int:
    """Write rows one by one, and in place of an older file only when all are there, and at least one."""
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(out.name + ".part")
    num_written = 0
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                num_written += 1
        if num_written:
            unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
    return num_written


def _generated(tasks: str, count: int, seed: int, images: SourceImages) -> Iterator[dict[str, Any]]:
    if count < 1:
        raise ValueError(f"--count {count}: give a number above 0")
    problems = reasoning_problems(JUDGED if tasks == "all" else tasks.split(","), count=count, seed=seed)
    return (
        as_row(problem, f"{number:06d}", images, source=problem.source or REASONING) for number, problem in enumerate(problems, start=1)
    )


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
