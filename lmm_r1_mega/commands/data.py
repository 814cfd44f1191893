"""`lmm-r1-mega data check FILE [CONFIG.yaml ...] [--section.field VALUE ...]`"""

from __future__ import annotations

from pathlib import Path

from lmm_r1_mega.commands.arguments import take_positional
from lmm_r1_mega.commands.verbs import VERBS
from lmm_r1_mega.errors import BAD_DATA, DONE
from lmm_r1_mega.settings import read_config


def run(arguments: list[str]) -> int:
    """Print what is in a data file and every bad row; 65 where there are bad rows. Tokens are counted where `model.path` exists."""
    (action, file), rest = take_positional(arguments, 2, verb="data")
    if action != "check":
        raise ValueError(VERBS["data"].usage)
    config = read_config(rest)
    from lmm_r1_mega.data.check import check_file, describe  # torch takes seconds that a wrong option need not
    from lmm_r1_mega.data.processor import Processor
    from lmm_r1_mega.rewards.pool import RewardPool

    bounds = {"min_pixels": config.data.min_pixels, "max_pixels": config.data.max_pixels}
    processor = Processor.load(config.model.path, **bounds) if config.model.path.exists() else None
    with RewardPool(config.reward) as rewards:
        report = check_file(Path(file), config.data, processor, answer_problems=rewards.gold_problems)
    print(describe(report))
    return DONE if report.is_clean else BAD_DATA
