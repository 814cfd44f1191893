"""`lmm-r1-mega sft [CONFIG.yaml ...] [--section.field VALUE ...] [--dry-run]`"""

from __future__ import annotations

from lmm_r1_mega.commands.arguments import take_flag
from lmm_r1_mega.commands.plan import show_plan
from lmm_r1_mega.config.reading import read_config
from lmm_r1_mega.errors import DONE
from lmm_r1_mega.record.claim import claim
from lmm_r1_mega.record.folder import check_unused


def run(arguments: list[str]) -> int:
    """Train on demonstrations, or with --dry-run print the plan alone."""
    dry_run, rest = take_flag(arguments, "--dry-run")
    config = read_config(rest)
    if dry_run:
        return show_plan(config)
    with claim(config.run.folder):
        check_unused(config.run.folder)
        from lmm_r1_mega.driver.sft import train_supervised  # see train.py

        train_supervised(config)
    return DONE
