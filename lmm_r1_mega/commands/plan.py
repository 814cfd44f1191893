"""`lmm-r1-mega plan [CONFIG.yaml ...] [--section.field VALUE ...] [--json] [--gpu-gib N] [--host-gib N]`"""

from __future__ import annotations

import json
import math

from rich.console import Console

from lmm_r1_mega.commands.arguments import take_flag, take_value
from lmm_r1_mega.config import Config
from lmm_r1_mega.config.reading import read_config
from lmm_r1_mega.errors import DONE, USAGE
from lmm_r1_mega.families.registry import read_shape
from lmm_r1_mega.families.shape import RewardShape
from lmm_r1_mega.planning.hardware import Hardware
from lmm_r1_mega.planning.plan import plan
from lmm_r1_mega.planning.report import as_json, render

TABLE_WIDTH = 120
"""A narrower terminal breaks the lines; no number is cut."""


def run(arguments: list[str]) -> int:
    """Print the plan for GPUs of --gpu-gib GiB (a machine without GPUs where left out); 2 where it cannot work."""
    json_wanted, rest = take_flag(arguments, "--json")
    gpu_gib, rest = take_value(rest, "--gpu-gib")
    host_gib, rest = take_value(rest, "--host-gib")
    hardware = Hardware(_gib(gpu_gib, "--gpu-gib"), _gib(host_gib, "--host-gib"))
    return show_plan(read_config(rest), hardware, json_wanted=json_wanted)


def show_plan(config: Config, hardware: Hardware | None = None, *, json_wanted: bool = False) -> int:
    """Print the plan of a run; 2 where it cannot work on the hardware (by default GPUs where `cluster.gpus_per_node` says so)."""
    found = plan(config, read_shape(config.model.path), hardware or _assumed(config), reward_shapes=_reward_shapes(config))
    if json_wanted:
        print(json.dumps(as_json(found), indent=2))
    else:
        Console(width=max(Console().width, TABLE_WIDTH)).print(render(found))
    return DONE if found.is_valid else USAGE


def _reward_shapes(config: Config) -> dict[str, RewardShape]:
    if not config.reward.models:
        return {}
    from lmm_r1_mega.models.reward_model import reward_shape  # torch and transformers take seconds that a plan without them need not

    return {name: reward_shape(folder) for name, folder in config.reward.models.items()}


def _assumed(config: Config) -> Hardware:
    """80 GiB GPUs where the configuration counts on GPUs, else this machine's CPU."""
    return Hardware(80.0 if config.cluster.gpus_per_node else None)


def _gib(text: str | None, option: str) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"{option} {text}: give a number of GiB above 0")
    return number
