"""Seconds of the quickstart's GRPO steps on two cores: engine and trainer in turn, or generation one step ahead of training.

    python benchmarks/one_step_off.py --steps 12

Prints one JSON line. Three arrangements of the same work, each a run of its own with real vLLM, Megatron and Ray:

* in_step: an engine and a trainer of one thread each, in turn, so that one core rests at any time;
* in_step_wide: two engines and two data-parallel ranks, in turn, so that each phase has both cores;
* one_step_off: engine and trainer of one thread each, side by side (`rollout.max_staleness` 1), its ratios taken to the policy that drew
  the samples (`algorithm.old_logprobs rollout`).

`wall_s` is of all steps, `step_s` and `phases` are means without the first, which warms up; of one_step_off, `generate` is what
training still waits for. `hidden_s` is the generation of a step that one_step_off does not wait for; `speedup` compares wall clocks.
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
from statistics import fmean
from typing import Any

import tyro

from lmm_r1_mega.record.jsonl import read_rows

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "examples" / "quickstart" / "fre.yaml"
DATA = ROOT / "examples" / "quickstart" / "data"
ARRANGEMENTS: dict[str, Mapping[str, object]] = {
    "in_step": {"layout.data": 1, "rollout.engines": 1, "rollout.max_staleness": 0},
    "in_step_wide": {"layout.data": 2, "rollout.engines": 2, "rollout.max_staleness": 0},
    "one_step_off": {"layout.data": 1, "rollout.engines": 1, "rollout.max_staleness": 1, "algorithm.old_logprobs": "rollout"},
}
PHASES = ("prompts", "generate", "score", "annotate", "update", "publish", "step")


@dataclass(frozen=True)
class Options:
    """What is run, and where."""

    steps: int = 12
    """Steps of each run."""
    cores: int = 2
    """Cores that a run may use."""
    only: tuple[str, ...] = tuple(ARRANGEMENTS)
    """Arrangements to run."""
    accuracy: bool = False
    """Measure held-out accuracy at the end of each run."""
    seed: int = 0
    """Seed of the data order and of the sampling."""


DEFAULT = Options()


def main(options: tyro.conf.OmitArgPrefixes[Options] = DEFAULT) -> None:
    """Time the arrangements one after the other."""
    os.chdir(ROOT)  # the configuration names its files from here
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    if not DATA.exists():
        subprocess.run([sys.executable, "-m", "examples.quickstart.make_data"], check=True)
    found = {name: _run(ARRANGEMENTS[name], options) for name in options.only}
    print(json.dumps({"steps": options.steps, "cores": options.cores, **found, **_compared(found)}))


def _run(arrangement: Mapping[str, object], options: Options) -> dict[str, Any]:
    """Train in processes of their own and read what they recorded."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            **arrangement,
            "layout.tensor": 1,
            "run.folder": f"{folder}/run",
            "run.steps": options.steps,
            "run.seed": options.seed,
            "run.eval_every": options.steps if options.accuracy else 0,
            "run.export_hf": "false",
        }
        arguments = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        command = [sys.executable, "-W", "ignore", "-m", "lmm_r1_mega.cli", "train", str(CONFIG), *arguments]
        subprocess.run(command, check=True, stdout=sys.stderr, env={"OMP_NUM_THREADS": "1", **os.environ})
        return _summary(read_rows(Path(folder) / "run" / "metrics.jsonl"))


def _summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    steps = [row for row in rows if "time/step" in row]
    means = {phase: fmean(row.get(f"time/{phase}", 0.0) for row in steps[1:]) for phase in PHASES}
    return {
        "wall_s": round(sum(row["time/step"] for row in steps), 2),
        "step_s": round(means.pop("step"), 3),
        "phases": {phase: round(seconds, 3) for phase, seconds in means.items()},
        "tokens_per_step": fmean(row["completions/mean_length"] * row["samples/trained"] for row in steps[1:]),
        "reward_last": steps[-1]["reward"],
        "staleness": fmean(row["staleness/mean"] for row in steps),
        **{name: value for name, value in rows[-1].items() if name.endswith("/accuracy") and name.startswith("eval/")},
    }


def _compared(found: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """What one_step_off wins over each of the others."""
    if "one_step_off" not in found:
        return {}
    off = found["one_step_off"]
    others = {name: one for name, one in found.items() if name != "one_step_off"}
    speedups = {f"speedup_over_{name}": round(one["wall_s"] / off["wall_s"], 3) for name, one in others.items()}
    hidden = {"hidden_s": round(found["in_step"]["phases"]["generate"] - off["phases"]["generate"], 3)} if "in_step" in found else {}
    return speedups | hidden


if __name__ == "__main__":
    tyro.cli(main)
