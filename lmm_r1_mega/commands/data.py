"""`lmm-r1-mega data check FILE [CONFIG.yaml ...] [--section.field VALUE ...] [--fix OUT]`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lmm_r1_mega.commands.arguments import take_positional, take_value
from lmm_r1_mega.commands.verbs import VERBS
from lmm_r1_mega.config import Config
from lmm_r1_mega.config.reading import read_config
from lmm_r1_mega.errors import BAD_DATA, DONE, naming_storage_errors

if TYPE_CHECKING:
    from lmm_r1_mega.data.chat.processor import Processor


def run(arguments: list[str]) -> int:
    """Print what is in a data file and every bad row; tokens are counted if `model.path` exists.

    65 if there are bad rows, and no --fix that leaves them out, or no good ones.
    """
    fixed, rest = take_value(arguments, "--fix")
    (action, name), rest = take_positional(rest, 2, verb="data")
    if action != "check":
        raise ValueError(VERBS["data"].usage)
    return check(Path(name), read_config(rest), target=Path(fixed) if fixed else None)


def check(file: Path, config: Config, *, target: Path | None) -> int:
    """Look at every row; with a target the good ones are written there."""
    from lmm_r1_mega.data.inspect.check import check_file, describe  # a wrong option need not wait for these
    from lmm_r1_mega.data.inspect.fix import check_target, folder_to_declare, write_good_rows
    from lmm_r1_mega.rewards.workers.pool import RewardPool

    if target:
        check_target(target)
    processor = _load_processor(config) if config.model.path.exists() else None
    with RewardPool(config.reward) as rewards:
        report = check_file(file, config.data, processor, answer_problems=rewards.gold_problems)
    print(describe(report))
    if target:
        with naming_storage_errors(target):
            write_good_rows(report, target, message_key=config.data.input_key)
        print(f"{target}: {report.num_good} good rows written")
        if (folder := folder_to_declare(report, target)) is not None:
            print(f"{target}: its images lie outside its folder: give --data.image_roots {folder}")
    return DONE if report.is_clean or (target and report.num_good) else BAD_DATA


def _load_processor(config: Config) -> Processor:
    from lmm_r1_mega.data.chat.processor import Processor  # imports torch, which a check without a model does without

    return Processor.load(config.model.path, min_pixels=config.data.min_pixels, max_pixels=config.data.max_pixels)
