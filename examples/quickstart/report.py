"""What the quickstart found: the summary file, the table and the sample answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

STAGES = {"base": "before", "fre": "after FRE (text)", "mgt": "after MGT (images)"}
"""The three models, in the order of their making."""
SETS = {"text": "sums in words", "image": "dots in images"}
"""The held-out files."""
LESSON = """\
The starting weights have two manners, working a sum out and guessing it, and use them at random. The reward sees only the format
and the final number; from it, reinforcement learning finds out that working it out pays, on problems that it never trained on,
and for images partly before it has seen one. It selects among manners that were planted: it teaches no new skill. In a
plain-torch prototype, training on images from the start (below) did about as well on them; this program does not compare."""
NEXT = """\
What to try next:
  how each step went      runs/quickstart/mgt/metrics.jsonl and rollouts.jsonl
  images alone          lmm-r1-mega train examples/quickstart/mgt.yaml --model.path examples/quickstart/model \\
                            --run.steps 80 --run.folder runs/direct
  another algorithm       lmm-r1-mega train examples/quickstart/fre.yaml --algorithm.name rloo --run.folder runs/rloo
  your own rows           lmm-r1-mega data check FILE
  a model of real size    lmm-r1-mega plan --help"""


@dataclass(frozen=True)
class Answer:
    """A model's greedy answer to a held-out question."""

    question: str
    gold: str
    response: str


@dataclass(frozen=True)
class Measured:
    """One model on one held-out file."""

    accuracy: float
    """Mean over several samples a problem at temperature 1."""
    greedy: float
    """With the likeliest token each time."""
    answers: tuple[Answer, ...]
    """The first few, in the order of the file."""


Findings = Mapping[str, Mapping[str, Measured]]
"""By stage, then by held-out set."""


def read_measured(path: Path) -> dict[str, Measured]:
    """What `measure.py` wrote."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: Measured(one["accuracy"], one["greedy"], tuple(Answer(**answer) for answer in one["answers"])) for name, one in tree.items()
    }


def summary(findings: Findings, *, steps: int, wall_s: float, peak_rss_bytes: int) -> dict[str, object]:
    """Contents of summary.json."""
    return {
        "text_accuracy": _accuracies(findings, "text"),
        "image_accuracy": _accuracies(findings, "image"),
        "steps": steps,
        "wall_s": round(wall_s, 1),
        "peak_rss_bytes": peak_rss_bytes,
    }


def show(findings: Findings, console: Console) -> None:
    """Print the table, three answers before and after, what it means and what to try next."""
    table = Table(title="Held-out accuracy: mean of four sampled answers (greedy answer)", title_justify="left")
    table.add_column("")
    for title in STAGES.values():
        table.add_column(title, justify="right")
    for held_out, name in SETS.items():
        cells = [findings[stage][held_out] for stage in STAGES]
        table.add_row(name, *(f"{cell.accuracy:.0%} ({cell.greedy:.0%})" for cell in cells))
    console.print(table)
    for before, after in zip(_first_three(findings["base"]), _first_three(findings["mgt"]), strict=True):
        answers = f"  before  {before.response}\n  after   {after.response}"
        console.print(f"\n{before.question}, right is {before.gold}\n{answers}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"\n{LESSON}\n\n{NEXT}", markup=False, highlight=False, soft_wrap=True)


def _accuracies(findings: Findings, held_out: str) -> dict[str, object]:
    """Sampled accuracy by stage, and under `greedy` the same for greedy answers."""
    by_stage = {stage: findings[stage][held_out] for stage in STAGES}
    sampled = {stage: measured.accuracy for stage, measured in by_stage.items()}
    return {**sampled, "greedy": {stage: measured.greedy for stage, measured in by_stage.items()}}


def _first_three(measured: Mapping[str, Measured]) -> list[Answer]:
    """One question in words and two in images, the first of their files."""
    return [*measured["text"].answers[:1], *measured["image"].answers[:2]]
