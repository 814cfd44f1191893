"""`lmm-r1-mega resume RUN [--section.field VALUE ...]`"""

from __future__ import annotations

from pathlib import Path

from lmm_r1_mega.commands.arguments import config_of, take_positional
from lmm_r1_mega.record.folder import RunFolder

USAGE = "resume RUN [--section.field VALUE ...]"


def run(arguments: list[str]) -> int:
    """Go on from the newest complete checkpoint of a run, or from its start where it has none; options win over its settings."""
    (name,), rest = take_positional(arguments, "RUN", usage=USAGE)
    folder = RunFolder.open(Path(name))
    config = config_of([str(folder.config_file), *rest], verb="resume")
    checkpoint = folder.newest_checkpoint()
    if checkpoint is None:
        folder.start_over()
    if checkpoint and checkpoint.step >= config.run.steps:
        raise ValueError(f"{name} is at step {checkpoint.step} of run.steps {config.run.steps}: raise it with --run.steps to train on")
    from lmm_r1_mega.sft import train_supervised  # torch, Megatron and Ray take seconds that --help need not
    from lmm_r1_mega.train import train

    {"train": train, "sft": train_supervised}[folder.verb](config, resume=checkpoint)
    return 0
