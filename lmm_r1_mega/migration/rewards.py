"""Who gave the rewards of a `train_ppo_ray` command, and the settings that pay the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lmm_r1_mega.migration.values import Values

MATH = {"format": 0.5, "accuracy": 1.0}
RULES = {
    "math_verifier": MATH,
    "math_verifier without format": {"accuracy": 1.0},
    "sokoban_verifier": {"format": 0.5, "sokoban": 0.1, "solved": 0},
}
"""LMM-R1's reward programs -> the rules that take their place; solved does not pay, it is what evaluation measures."""
MEASURES = {"accuracy", "solved"}


def rewards(values: Values, verifier: str | None, notes: list[str]) -> Iterator[tuple[str, Any]]:
    """Settings of the rewards; held-out answers need a rule beside them, for evaluation asks neither servers nor models."""
    found = dict(_payer(values, verifier, notes))
    if values["eval_dataset"] is not None and not MEASURES & found["reward.weights"].keys():
        notes.append("--eval_dataset: evaluation needs a rule that tells right from wrong: add accuracy with weight 0 to reward.weights")
    yield from found.items()


def _payer(values: Values, verifier: str | None, notes: list[str]) -> Iterator[tuple[str, Any]]:
    """There --remote_rm_url alone counts where it is given, and a file stands for all of it where it comes first."""
    sources, models = _listed(values["remote_rm_url"]), _listed(values["reward_pretrain"])
    if sources and models:
        notes.append("--reward_pretrain: no reward model scores where --remote_rm_url is given, here as there")
    if values["normalize_reward"] and (sources or not models):
        notes.append("--normalize_reward: concerns reward models alone, here as there")
    if sources and sources[0].endswith(".py"):
        return _function(sources, notes)
    if verifier is not None and (sources or not models):
        return _rules(verifier, notes)
    if sources:
        return _servers(sources, notes)
    if models:
        return _models(values, models, notes)
    return _unknown(notes)


def _listed(text: str | None) -> list[str]:
    """Example: "a, b," -> ["a", "b"]"""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _function(sources: list[str], notes: list[str]) -> Iterator[tuple[str, Any]]:
    if sources[1:]:
        notes.append(f"--remote_rm_url: the first file is used alone, here as there; {', '.join(sources[1:])} never paid")
    yield "reward.function", sources[0]
    yield "reward.weights", {"function": 1.0}


def _rules(verifier: str, notes: list[str]) -> Iterator[tuple[str, Any]]:
    if "sokoban" in RULES[verifier]:
        notes.append("sokoban_verifier: the answer of a row has to be its room as text; tools/make_sokoban.py writes such rows")
    yield "reward.weights", RULES[verifier]


def _servers(sources: list[str], notes: list[str]) -> Iterator[tuple[str, Any]]:
    notes.append(
        f"--remote_rm_url: where LMM-R1's math_verifier runs there, no server is needed: leave reward.remote out and "
        f"set reward.weights to {MATH}, or to accuracy alone if it runs with --disable-format-reward"
    )
    yield "reward.remote.urls", sources
    yield "reward.weights", {"remote": 1.0}


def _models(values: Values, models: list[str], notes: list[str]) -> Iterator[tuple[str, Any]]:
    named = {f"model_{number}": folder for number, folder in enumerate(models, start=1)}
    yield "reward.models", named
    yield "reward.weights", {f"model/{name}": 1.0 for name in named}
    yield "reward.normalize", values["normalize_reward"]
    if values["normalize_reward"]:
        notes.append("--normalize_reward: mean and deviation are the run's own so far, there they stand in the reward model's config.json")
    if values["advantage_estimator"] == "gae" and values["critic_pretrain"] is None:
        notes.append("without --critic_pretrain the critic starts from the first reward model there, here from the policy")


def _unknown(notes: list[str]) -> Iterator[tuple[str, Any]]:
    notes.append("the command names no rewards: format and accuracy are paid as LMM-R1's math_verifier does; change reward.weights")
    yield "reward.weights", MATH
