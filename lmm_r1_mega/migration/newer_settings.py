"""Settings of what OpenRLHF has had since 2026, over those of its older flags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lmm_r1_mega.migration.newer import SCHEDULES
from lmm_r1_mega.migration.values import Values

ROW_TOKENS = 8192


def newer_settings(values: Values, settings: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """The settings that change; `settings` are those that follow from the older flags.

    Raises:
        ValueError: a flag has no counterpart and nothing that comes near.
    """
    if values["train.agent_func_path"]:
        raise ValueError(
            "--train.agent_func_path: agents are not run here: write what it pays as reward_func(queries, prompts, labels) into a file "
            "and give that as --reward.remote_url FILE.py"
        )
    found: dict[str, Any] = {}
    for part in (_lengths(values, notes), _loss(values), _optimizer(values), _weights(values, notes), _rest(values, settings, notes)):
        found |= part
    return found


def _lengths(values: Values, notes: list[str]) -> Iterator[tuple[str, Any]]:
    longest, response = values["data.max_len"], values["rollout.max_new_tokens"]
    if response is None:
        notes.append(f"--data.max_len: prompt and response together may have {longest} tokens there, each of them here")
    yield "data.max_prompt_tokens", longest
    yield "rollout.max_response_tokens", response or longest
    yield "layout.row_tokens", max(ROW_TOKENS, longest + (response or longest))


def _loss(values: Values) -> Iterator[tuple[str, Any]]:
    low, high = values["actor.eps_clip_low_high"] or (values["eps_clip"], values["eps_clip"])
    is_gspo = values["actor.policy_loss_type"] == "gspo"
    yield "algorithm.clip_low", low
    yield "algorithm.clip_high", high
    yield "algorithm.dual_clip", values["actor.dual_clip"]
    yield "algorithm.policy_loss", "gspo" if is_gspo else "clip"
    yield "algorithm.aggregation", "sequence" if is_gspo else "token"
    yield "algorithm.entropy_coefficient", values["entropy_loss_coef"]


def _optimizer(values: Values) -> Iterator[tuple[str, Any]]:
    schedule = values["actor.lr_scheduler"]
    yield "optimizer.eps", values["actor.adam.eps"]
    yield "optimizer.schedule", SCHEDULES[schedule]
    yield "optimizer.final_ratio", values["actor.min_lr_ratio"] if schedule == "cosine_with_min_lr" else 0.0


def _weights(values: Values, notes: list[str]) -> Iterator[tuple[str, Any]]:
    """Of samples that the rollout engine drew with other probabilities than the trainer's."""
    if not values["algo.advantage.is_correction_enable"]:
        return
    low, high = values["algo.advantage.is_correction_threshold"]
    if values["algo.advantage.is_correction_type"] == "icepop":
        yield "algorithm.importance_bounds", [low, high]
        return
    notes.append(f"--algo.advantage.is_correction_threshold: weights below {low} are raised to it there, and stay as they are here")
    yield "algorithm.importance_cap", high


def _rest(values: Values, settings: Mapping[str, Any], notes: list[str]) -> Iterator[tuple[str, Any]]:
    tensor = values["ds.tensor_parallel_size"]
    if tensor > 1:
        yield "layout.tensor", tensor
        yield "layout.data", max(settings["layout.data"] // tensor, 1)
    if values["actor.freeze_visual_encoder"]:
        yield "model.freeze", [*settings.get("model.freeze", []), "visual*"]
    if values["algo.dynamic_filtering_enable"]:
        yield "algorithm.dynamic_sampling.enabled", True
    if values["train.async_enable"]:
        yield "rollout.ahead", 1
        notes.append("--train.async_enable: generation is one step ahead here, whatever the queue there")
    if (buffer := values["reward.overlong_buffer_len"]) is not None:
        longest = values["rollout.max_new_tokens"] or values["data.max_len"]
        yield "reward.overlong", [int(longest - buffer), longest]
        yield "reward.weights", settings["reward.weights"] | {"overlong": values["reward.overlong_penalty_factor"]}
