"""`lmm-r1-mega resume RUN [--section.field VALUE ...] [--allow-change]`"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lmm_r1_mega.commands.arguments import take_flag, take_positional
from lmm_r1_mega.config import Config
from lmm_r1_mega.config.reading import changes, read_config, read_tree, renamed_in
from lmm_r1_mega.errors import DONE
from lmm_r1_mega.record.claim import claim
from lmm_r1_mega.record.folder import Checkpoint, RunFolder

LEARNED = ("run.seed", "model.", "data.", "algorithm.", "reward.")
"""Settings that say what is learned from what: with others it is another run."""
NOT_LEARNED = frozenset({"model.recompute", "data.eval", "data.image_workers", "reward.workers", "reward.memory_mib"})
"""Among them those that say how fast, on what machine, and what is measured besides."""


def run(arguments: list[str]) -> int:
    """Go on from the newest complete checkpoint of a run, or from its start where it has none; options win over its settings."""
    allow_change, rest = take_flag(arguments, "--allow-change")
    (name,), rest = take_positional(rest, 1, verb="resume")
    folder = RunFolder.open(Path(name))
    with claim(folder.path):  # first of all: what the folder holds is of no use while another process changes it
        for old, new in renamed_in(read_tree(folder.config_file)).items():
            print(f"{old} of {folder.config_file} is now {new}", flush=True)
        before = read_config([str(folder.config_file)], of_run=True)
        config = read_config([str(folder.config_file), *rest, "--run.folder", name], of_run=True)  # it may have been moved
        check_changes(changes(before, config), allow_change=allow_change)
        folder.check_rows()
        checkpoint = _checkpoint(folder, config)
        from lmm_r1_mega.driver.sft import train_supervised  # torch, Megatron and Ray take seconds that a wrong option need not
        from lmm_r1_mega.train import train

        {"train": train, "sft": train_supervised}[folder.verb](config, resume=checkpoint, allow_change=allow_change)
    return DONE


def check_changes(changed: Mapping[str, str], *, allow_change: bool) -> None:
    """Print the settings that a run goes on with and did not have. Errors: ValueError where they make it another run."""
    changed = {name: change for name, change in changed.items() if name != "run.folder"}
    if changed:
        print("resume with changed settings:", *(f"  {name}: {change}" for name, change in changed.items()), sep="\n", flush=True)
    learned = [f"{name}: {change}" for name, change in changed.items() if name.startswith(LEARNED) and name not in NOT_LEARNED]
    if learned and not allow_change:
        raise ValueError(f"with {'; '.join(learned)} it would be another run: leave that out, or add --allow-change to go on with it")


def _checkpoint(folder: RunFolder, config: Config) -> Checkpoint:
    checkpoint = folder.newest_checkpoint() or folder.beginning()
    if checkpoint.step > config.run.steps or (checkpoint.step == config.run.steps and folder.is_finished):
        raise ValueError(
            f"{config.run.folder} is at step {checkpoint.step} of run.steps {config.run.steps}: raise it with --run.steps to train on"
        )
    return checkpoint
