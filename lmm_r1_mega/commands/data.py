"""`lmm-r1-mega data check FILE [CONFIG.yaml ...] [--section.field VALUE ...]`"""

from __future__ import annotations

from pathlib import Path

from lmm_r1_mega.commands.arguments import config_of, take_positional
from lmm_r1_mega.data.check import check_file, describe
from lmm_r1_mega.data.processor import Processor
from lmm_r1_mega.rewards.pool import RewardPool

USAGE = "data check FILE [CONFIG.yaml ...] [--section.field VALUE ...]"


def run(arguments: list[str]) -> int:
    """Print what is in a data file and every bad row; 65 where there are bad rows. Tokens are counted where `model.path` exists."""
    (verb, file), rest = take_positional(arguments, "check", "FILE", usage=USAGE)
    if verb != "check":
        raise ValueError(f"usage: lmm-r1-mega {USAGE}")
    config = config_of(rest, verb="data check")
    bounds = {"min_pixels": config.data.min_pixels, "max_pixels": config.data.max_pixels}
    processor = Processor.load(config.model.path, **bounds) if config.model.path.exists() else None
    with RewardPool(config.reward) as rewards:
        report = check_file(Path(file), config.data, processor, answer_problems=rewards.gold_problems)
    print(describe(report))
    return 0 if report.is_clean else 65
