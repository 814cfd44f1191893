"""Held-out accuracy of the quickstart's two stages by algorithm, from the same starting weights.

    python benchmarks/algorithms.py --only grpo rloo --seeds 1 2 3

One run after the other: FRE on text, then MGT on images from what FRE exported, with the quickstart's own two configurations and
whatever the algorithm changes. Prints one JSON line a run: for both held-out files the accuracy (mean of four sampled answers) of the
starting weights, after FRE and after MGT, the seconds of all steps, and the step's share of samples that were dropped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from lmm_r1_mega.record.jsonl import read_rows

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "examples" / "quickstart"
STAGES = {"fre": 20, "mgt": 60}
"""Steps, as the quickstart takes them."""
SETS = ("text", "image")
ALGORITHMS: dict[str, Mapping[str, object]] = {
    "grpo": {},
    "grpo, one step ahead": {"rollout.max_staleness": 1, "algorithm.old_logprobs": "rollout"},
    "grpo, one step ahead, capped weights": {"rollout.max_staleness": 1, "algorithm.importance_cap": 2.0},
    "grpo, one step ahead, uncorrected": {"rollout.max_staleness": 1},
    "rloo": {"algorithm.name": "rloo"},
    "reinforce_pp": {"algorithm.name": "reinforce_pp"},
    "ppo": {"algorithm.name": "ppo", "critic.learning_rate": 1.5e-4},
    "dapo": {"algorithm.clip_high": 0.28, "algorithm.dynamic_sampling.enabled": "true", "algorithm.dynamic_sampling.oversampling": 1.5},
}
"""What each changes of the quickstart's settings."""


@dataclass(frozen=True)
class Options:
    """What is run."""

    only: tuple[str, ...] = tuple(ALGORITHMS)
    """Algorithms."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Of the order of the rows and of the sampling."""


DEFAULT = Options()


def main(options: tyro.conf.OmitArgPrefixes[Options] = DEFAULT) -> None:
    """Train and measure each algorithm with each seed."""
    os.chdir(ROOT)  # the configurations name their files from here
    if not (QUICKSTART / "data").exists():
        subprocess.run([sys.executable, "-m", "examples.quickstart.make_data"], check=True)
    for seed in options.seeds:
        for name in options.only:
            print(json.dumps({"algorithm": name, "seed": seed, **_both_stages(ALGORITHMS[name], seed)}), flush=True)


def _both_stages(changes: Mapping[str, object], seed: int) -> dict[str, Any]:
    """FRE, then MGT from its export, in processes of their own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fre = _train("fre", folder / "fre", QUICKSTART / "model", changes, seed)
        mgt = _train("mgt", folder / "mgt", folder / "fre" / "hf", changes, seed)
    steps = [row for row in fre + mgt if "time/step" in row]
    return {
        **{held_out: [_accuracy(fre, held_out, 0), _accuracy(fre, held_out, -1), _accuracy(mgt, held_out, -1)] for held_out in SETS},
        "steps_s": round(sum(row["time/step"] for row in steps), 1),
        "trained": round(sum(row["samples/trained"] for row in steps) / sum(row["samples/dispatched"] for row in steps), 3),
    }


def _train(stage: str, folder: Path, model: Path, changes: Mapping[str, object], seed: int) -> list[dict[str, float]]:
    """Rows of the metrics of one stage, the start and the end measured on both held-out files."""
    steps = STAGES[stage]
    own = {"model.path": model, "run.folder": folder, "run.seed": seed, "run.steps": steps, "run.eval_every": steps, "run.save_every": 0}
    arguments = [word for name, value in (own | dict(changes)).items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-W", "ignore", "-m", "lmm_r1_mega.cli", "train", str(QUICKSTART / f"{stage}.yaml"), *arguments]
    subprocess.run(command, check=True, stdout=sys.stderr, env={"OMP_NUM_THREADS": "1", **os.environ})
    return read_rows(folder / "metrics.jsonl")


def _accuracy(rows: list[dict[str, float]], held_out: str, which: int) -> float:
    """Of the first or the last measurement among the rows."""
    return round([row[f"eval/{held_out}/accuracy"] for row in rows if f"eval/{held_out}/accuracy" in row][which], 3)


if __name__ == "__main__":
    tyro.cli(main)
