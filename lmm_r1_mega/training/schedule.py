"""The learning rate as a function of the number of optimizer steps done."""

from __future__ import annotations

import math

from lmm_r1_mega.config import OptimizerSettings


def learning_rate_share(step: int, *, settings: OptimizerSettings, total_steps: int) -> float:
    """Share of the peak learning rate for optimizer step `step` (the first is 0) of `total_steps`.

    Linear warm-up over `warmup_steps` (its first step is 1 / warmup_steps, its last 1), then the schedule, which reaches
    `final_ratio` at the last step and stays there.

    Example: warmup_steps 2, linear, final_ratio 0, total_steps 6 -> 0.5, 1, 0.75, 0.5, 0.25, 0
    """
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return 1.0
    last_warm = max(settings.warmup_steps - 1, 0)
    done = min((step - last_warm) / max(total_steps - 1 - last_warm, 1), 1.0)
    left = 1.0 - done if settings.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    return settings.final_ratio + (1.0 - settings.final_ratio) * left
