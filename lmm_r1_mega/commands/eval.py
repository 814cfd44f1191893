"""`lmm-r1-mega eval MODEL_OR_RUN DATA [CONFIG.yaml ...] [--section.field VALUE ...] [--json]`"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lmm_r1_mega.commands.arguments import take_flag, take_positional
from lmm_r1_mega.config.reading import model_folder, read_config
from lmm_r1_mega.errors import DONE
from lmm_r1_mega.families.registry import read_shape


def run(arguments: list[str]) -> int:
    """Print accuracy on a data file (mean of `run.eval_samples` answers a prompt, pass@n, greedy)."""
    json_wanted, rest = take_flag(arguments, "--json")
    (name, data), rest = take_positional(rest, 2, verb="eval")
    model = model_folder(Path(name))
    options = [*_run_settings(Path(name)), *rest, "--model.path", str(model)]
    config = read_config(options, of_run=True)
    read_shape(model)  # a folder without a model need not wait for what follows
    from lmm_r1_mega.driver.evaluate import evaluate_file  # torch and Ray take seconds that a wrong option need not

    found = asdict(evaluate_file(model, Path(data), config).accuracy)
    if json_wanted:
        print(json.dumps(found))
        return DONE
    table = Table("figure", "value", box=None)
    for label, value in found.items():
        table.add_row(label, f"{value:.4f}" if isinstance(value, float) else str(value))
    Console().print(table)
    return DONE


def _run_settings(path: Path) -> list[str]:
    """The settings that a run was made with, where the path is a run."""
    file = path / "config.yaml"
    return [str(file)] if file.is_file() else []
