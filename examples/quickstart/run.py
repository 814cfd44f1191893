"""`make quickstart`: FRE on text, then MGT on images, with the accuracy on held-out problems before, between and after.

Everything it writes lies in runs/quickstart, which a further run replaces.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import tyro
from rich.console import Console

from examples.quickstart.make_data import FOLDER, write_training_data
from examples.quickstart.make_model import MODEL
from examples.quickstart.memory import peak_memory
from examples.quickstart.report import STAGES, Measured, read_measured, show, summary
from lmm_r1_mega.config.reading import read_config

HERE = Path(__file__).parent
OUTPUT = Path("runs/quickstart")
"""As the two configurations name it."""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": "ignore"}
"""Of the processes, where the user has not said otherwise: one thread each, no network, no warnings of libraries about what a CPU lacks."""


def main(*, model: Path = MODEL, seed: int = 0, fre_steps: int | None = None, mgt_steps: int | None = None) -> None:
    """Train a tiny Qwen2.5-VL on text, then on images.

    Args:
        model: Folder of the starting weights.
        seed: Seed of the order of the rows and of the sampling.
        fre_steps: Steps on text, when not those of fre.yaml.
        mgt_steps: Steps on images, when not those of mgt.yaml.
    """
    console, start = Console(), time.monotonic()
    fre, mgt = _options("fre", seed, fre_steps), _options("mgt", seed, mgt_steps)
    _prepare(console)
    with peak_memory() as memory:
        findings = {"base": _measure("base", model, console)}
        _train([*fre, "--model.path", str(model)], "Stage 1, FRE: text only, tensor parallel 2 with sequence parallelism", console)
        findings["fre"] = _measure("fre", OUTPUT / "fre" / "hf", console)
        _train(mgt, "Stage 2, MGT: images, two pipeline stages", console)
        findings["mgt"] = _measure("mgt", OUTPUT / "mgt" / "hf", console)
    steps = sum(read_config(options).run.steps for options in (fre, mgt))
    found = summary(findings, steps=steps, wall_s=time.monotonic() - start, peak_rss_bytes=memory.peak_bytes)
    (OUTPUT / "summary.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    console.print()
    show(findings, console)
    console.print(
        f"\n{steps} steps in {found['wall_s']:.0f} s: figures in {OUTPUT}/summary.json, model in {OUTPUT}/mgt/hf", highlight=False
    )


def _options(stage: str, seed: int, steps: int | None) -> list[str]:
    """Command-line arguments of a stage."""
    return [str(HERE / f"{stage}.yaml"), "--run.seed", str(seed), *(["--run.steps", str(steps)] if steps is not None else [])]


def _prepare(console: Console) -> None:
    """An empty output folder, and the data, which take a second to write."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    console.print(f"Writing sums and images of dots into {FOLDER}", highlight=False, soft_wrap=True)
    write_training_data()


def _train(arguments: list[str], title: str, console: Console) -> None:
    console.print(f"\n{title}", style="bold", highlight=False)
    _call("lmm_r1_mega.cli", "train", *arguments)


def _measure(stage: str, model: Path, console: Console) -> dict[str, Measured]:
    """Accuracy of a model on the held-out files."""
    console.print(f"\nHeld-out problems, {STAGES[stage]}", style="bold", highlight=False)
    out = OUTPUT / f"{stage}.json"
    _call("examples.quickstart.measure", str(model), str(HERE / "mgt.yaml"), str(out))
    measured = read_measured(out)
    console.print("  " + ", ".join(f"{name} {one.accuracy:.0%}" for name, one in measured.items()), highlight=False)
    return measured


def _call(module: str, *arguments: str) -> None:
    """Run a module in a process of its own, so that nothing of it stays; its failure ends the quickstart with its exit status."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], env={**ENVIRONMENT, **os.environ}, check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    tyro.cli(main)
