"""Who gave the rewards of a `train_ppo_ray` command, and the settings that pay the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lmm_r1_mega.migration.values import MigrationInput

MATH = {"format": 0.5, "accuracy": 1.0}
RULES = {
    "math_verifier": MATH,
    "math_verifier without format": {"accuracy": 1.0},
    "sokoban_verifier": {"format": 0.5, "sokoban": 0.1, "solved": 0},
}
"""LMM-R1's reward programs -> the rules that take their place; solved does not pay, it is what evaluation measures."""
ACCURACY_RULES = {"accuracy", "solved"}


def reward_settings(flags: MigrationInput) -> dict[str, Any]:
    """Settings of the rewards; held-out answers need a rule beside them, for evaluation asks neither servers nor models."""
    settings = dict(_paid_by(flags))
    if flags["eval_dataset"] is not None and not ACCURACY_RULES & settings["reward.weights"].keys():
        needed = "add accuracy with weight 0 to reward.weights"
        flags.notes.append(f"--eval_dataset: evaluation needs a rule that tells right from wrong: {needed}")
    return settings


def _paid_by(flags: MigrationInput) -> Iterator[tuple[str, Any]]:
    """There --remote_rm_url alone counts if it is given, and a file stands for all of it if it comes first."""
    sources, models, notes, verifier = _listed(flags["remote_rm_url"]), _listed(flags["reward_pretrain"]), flags.notes, flags.verifier
    if sources and models:
        notes.append("--reward_pretrain: no reward model scores where --remote_rm_url is given, here as there")
    if flags["normalize_reward"] and (sources or not models):
        notes.append("--normalize_reward: concerns reward models alone, here as there")
    if sources and sources[0].endswith(".py"):
        if sources[1:]:
            notes.append(f"--remote_rm_url: the first file is used alone, here as there; {', '.join(sources[1:])} never paid")
        yield "reward.function", sources[0]
        yield "reward.weights", {"function": 1.0}
    elif verifier is not None and (sources or not models):
        if "sokoban" in RULES[verifier]:
            notes.append("sokoban_verifier: the answer of a row has to be its room as text; tools/make_sokoban.py writes such rows")
        yield "reward.weights", RULES[verifier]
    elif sources:
        notes.append(
            f"--remote_rm_url: where LMM-R1's math_verifier runs there, no server is needed: leave reward.remote out and "
            f"set reward.weights to {MATH}, or to accuracy alone if it runs with --disable-format-reward"
        )
        yield "reward.remote.urls", sources
        yield "reward.weights", {"remote": 1.0}
    elif models:
        yield from _models(flags, models)
    else:
        notes.append("the command names no rewards: format and accuracy are paid as LMM-R1's math_verifier does; change reward.weights")
        yield "reward.weights", MATH


def _models(flags: MigrationInput, models: list[str]) -> Iterator[tuple[str, Any]]:
    folders = {f"model_{number}": folder for number, folder in enumerate(models, start=1)}
    yield "reward.models", folders
    yield "reward.weights", {f"model/{name}": 1.0 for name in folders}
    yield "reward.normalize", flags["normalize_reward"]
    if flags["normalize_reward"]:
        where = "mean and deviation are the run's own so far, there they stand in the reward model's config.json"
        flags.notes.append(f"--normalize_reward: {where}")
    if flags["advantage_estimator"] == "gae" and flags["critic_pretrain"] is None:
        flags.notes.append("without --critic_pretrain the critic starts from the first reward model there, here from the policy")


def _listed(text: str | None) -> list[str]:
    """Example: "a, b," -> ["a", "b"]"""
    return [name.strip() for name in (text or "").split(",") if name.strip()]
