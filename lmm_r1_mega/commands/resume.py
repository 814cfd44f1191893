"""`lmm-r1-mega resume RUN [--section.field VALUE ...]`"""

from __future__ import annotations

from pathlib import Path

from lmm_r1_mega.commands.arguments import take_positional
from lmm_r1_mega.errors import DONE
from lmm_r1_mega.record.folder import RunFolder
from lmm_r1_mega.settings import read_config


def run(arguments: list[str]) -> int:
    """Go on from the newest complete checkpoint of a run, or from its start where it has none; options win over its settings."""
    (name,), rest = take_positional(arguments, 1, verb="resume")
    folder = RunFolder.open(Path(name))
    config = read_config([str(folder.config_file), *rest, "--run.folder", name])  # it may have been moved
    checkpoint = folder.newest_checkpoint() or folder.beginning()
    if checkpoint.step >= config.run.steps and folder.is_finished:
        raise ValueError(f"{name} is at step {checkpoint.step} of run.steps {config.run.steps}: raise it with --run.steps to train on")
    from lmm_r1_mega.sft import train_supervised  # torch, Megatron and Ray take seconds that a wrong option need not
    from lmm_r1_mega.train import train

    {"train": train, "sft": train_supervised}[folder.verb](config, resume=checkpoint)
    return DONE
