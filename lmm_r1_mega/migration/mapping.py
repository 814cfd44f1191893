"""From the flags of `train_ppo_ray` to our settings, so that the run means the same.

Each function answers for a few settings, and writes all of them: what is a default there need not be one here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmm_r1_mega.migration.newer import ALL_FLAGS
from lmm_r1_mega.migration.newer_settings import newer_settings
from lmm_r1_mega.migration.rewards import rewards
from lmm_r1_mega.migration.values import Values

ALGORITHMS = {
    "gae": "ppo",
    "reinforce": "reinforce_pp",
    "rloo": "rloo",
    "reinforce_baseline": "reinforce_baseline",
    "group_norm": "grpo",
    "dr_grpo": "dr_grpo",
}
"""Estimators there -> the row that computes the same."""
UNWHITENED = ("group_norm", "dr_grpo")
"""All others are shifted and scaled over the batch there."""
PATCH_AREA = 28 * 28
ROW_TOKENS = 8192
MACHINE_GPUS = 8
"""Taken for a machine where flags only say how many of its GPUs a model has."""
HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
DATA_SUFFIXES = frozenset({".json", ".jsonl", ".csv", ".parquet", ".arrow"})
"""Of files that are read there as they are."""


@dataclass(frozen=True)
class Migration:
    """What became of a command."""

    settings: dict[str, Any]
    """Dotted names and values."""
    notes: tuple[str, ...]
    """What the reader has to know or to do."""
    missed: dict[str, str]
    """Flags of the command without which the run means something else, and why there is nothing for them."""
    dropped: dict[str, str]
    """Flags of the command that are not needed, and why."""

    @property
    def tree(self) -> dict[str, dict[str, Any]]:
        """The settings as sections."""
        tree: dict[str, Any] = {}
        for name, value in self.settings.items():
            *sections, field = name.split(".")
            place = tree
            for section in sections:
                place = place.setdefault(section, {})
            place[field] = value
        return tree


def migrate(values: Values, *, num_rows: int | None, verifier: str | None = None) -> Migration:
    """Our settings for the flags; `num_rows` is how many rows the data have, `verifier` LMM-R1's reward program beside the command.

    Raises:
        ValueError: a flag that is needed is missing, or flags do not go together.
    """
    settings: dict[str, Any] = {}
    notes = [f"--{name} is empty and counts as not given" for name in values.empty]
    parts: tuple[Iterator[tuple[str, Any]], ...] = (
        _model(values, notes),
        _processes(values, notes),
        _data(values, notes),
        _rollout(values),
        _algorithm(values, notes),
        _kl(values),
        _critic(values, notes),
        rewards(values, verifier, notes),
        _optimizer(values, num_rows),
        _run(values, num_rows, notes),
    )
    for part in parts:
        settings |= part
    if values.is_newer:
        settings |= newer_settings(values, settings, notes)
    gone = {name: flag for name, flag in ALL_FLAGS.items() if name in values.given and flag.reason}
    return Migration(
        settings,
        notes=tuple(notes),
        missed={name: flag.reason for name, flag in gone.items() if flag.is_missed and values[name] != flag.default},
        dropped={name: flag.reason for name, flag in gone.items() if not flag.is_missed},
    )


def _model(values: Values, notes: list[str]) -> Iterator[tuple[str, Any]]:
    if values["pretrain"] is None:
        raise ValueError("--pretrain is missing: name the model's folder")
    yield "model.path", values["pretrain"]
    yield "model.precision", "bf16" if values["bf16"] else "auto"
    yield "model.recompute", "full" if values["gradient_checkpointing"] else "none"
    if values["freeze_prefix"]:
        yield "model.freeze", [f"{prefix}*" for prefix in values["freeze_prefix"]]
        if values["advantage_estimator"] == "gae":
            notes.append("--freeze_prefix: the critic is frozen with the policy here, there the policy alone")


def _processes(values: Values, notes: list[str]) -> Iterator[tuple[str, Any]]:
    """One data rank a GPU of the actor; `plan` says where that is too little memory."""
    trainers = values["actor_num_nodes"] * values["actor_num_gpus_per_node"]
    tensor = values["vllm_tensor_parallel_size"]
    engines = values["vllm_num_engines"] or max(trainers // tensor, 1)
    is_hybrid = values["colocate_all_models"] or not values["vllm_num_engines"]
    needed = trainers if is_hybrid else trainers + engines * tensor
    machine = values["actor_num_gpus_per_node"] if is_hybrid else max(values["actor_num_gpus_per_node"], MACHINE_GPUS)
    if not values["vllm_num_engines"]:
        notes.append("without --vllm_num_engines the trainer generates there; here vLLM does, on the same GPUs")
    if not is_hybrid:
        notes.append(f"trainer and engines have GPUs of their own, {needed} in all, on machines of {machine}: see cluster.gpus_per_node")
    yield "layout.data", trainers
    yield "layout.distributed_optimizer", values["zero_stage"] > 0
    yield "layout.row_tokens", max(ROW_TOKENS, values["prompt_max_len"] + values["generate_max_len"])
    yield "cluster.placement", "hybrid" if is_hybrid else "disaggregated"
    yield "cluster.gpus_per_node", machine
    yield "cluster.nodes", -(-needed // machine)
    yield "rollout.engines", engines
    yield "rollout.tensor", tensor


def _data(values: Values, notes: list[str]) -> Iterator[tuple[str, Any]]:
    if values["prompt_data"] is None:
        raise ValueError("--prompt_data is missing: name the data files")
    yield "data.train", data_files(values["prompt_data"], split=values["prompt_split"])
    if values["prompt_data_probs"] is not None:
        yield "data.probabilities", _probabilities(values["prompt_data_probs"])
        notes.append("--prompt_data_probs: a pass there lasts until each file is through; run.steps counts every row once: say other steps")
    if values["eval_dataset"] is not None:
        yield "data.eval", _by_name(data_files(values["eval_dataset"], split=values["eval_split"]))
    yield "data.input_key", values["input_key"]
    if values["label_key"] is not None:
        yield "data.label_key", values["label_key"]
    bounds = _processor_options(values["processor_kwargs"] or "{}")
    yield "data.min_pixels", bounds.pop("min_pixels", 4 * PATCH_AREA)
    yield "data.max_pixels", bounds.pop("max_pixels", 16384 * PATCH_AREA)
    if bounds:
        notes.append(f"--processor_kwargs {', '.join(bounds)}: only min_pixels and max_pixels are settings")
    yield "data.max_prompt_tokens", values["prompt_max_len"]
    notes.append("pictures are read below their data file's folder alone: add other folders to data.image_roots")


def _probabilities(text: str) -> list[float]:
    """Example: "0.25,0.75" -> [0.25, 0.75]"""
    try:
        return [float(share) for share in text.split(",")]
    except ValueError:
        raise ValueError(f"--prompt_data_probs {text}: give numbers with commas between them") from None


def _processor_options(text: str) -> dict[str, Any]:
    try:
        options = json.loads(text)
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise ValueError(f'--processor_kwargs {text}: give a JSON object such as {{"min_pixels": 3136}}')
    return options


def data_files(names: str, *, split: str) -> list[str]:
    """Example: "a.jsonl, b.parquet@part, owner/set" and split test -> ["a.jsonl", "b.parquet", "hub:owner/set:test"]"""
    found = [name.split("@")[0].strip() for name in names.split(",")]
    return [f"hub:{name}:{split}" if _is_of_hub(name) else name for name in found]


def _is_of_hub(name: str) -> bool:
    """Whether a name is no file and no folder here, and could be one of the hub: so it is read there."""
    return bool(HUB_NAME.fullmatch(name)) and Path(name).suffix not in DATA_SUFFIXES and not Path(name).exists()


def _by_name(files: list[str]) -> dict[str, str]:
    """Each file under its name without folder and suffix, a set of the hub under its name without owner and split."""
    found: dict[str, str] = {}
    for file in files:
        other = found.setdefault(Path(file.split(":")[1]).name if file.startswith("hub:") else Path(file).stem, file)
        if other != file:
            raise ValueError(f"--eval_dataset {other} and {file} have the same name, under which results are told: rename one")
    return found


def _rollout(values: Values) -> Iterator[tuple[str, Any]]:
    yield "rollout.max_response_tokens", values["generate_max_len"]
    yield "rollout.temperature", values["temperature"]
    yield "rollout.top_p", values["top_p"]
    yield "rollout.prefix_caching", values["enable_prefix_caching"]
    yield "rollout.gpu_memory", values["vllm_gpu_memory_utilization"]
    yield "rollout.enforce_eager", values["enforce_eager"]


def _algorithm(values: Values, notes: list[str]) -> Iterator[tuple[str, Any]]:
    estimator = values["advantage_estimator"]
    is_scaled = estimator not in UNWHITENED and not values["no_advantage_std_norm"]
    if estimator not in UNWHITENED and not is_scaled:
        notes.append("--no_advantage_std_norm: the mean over the batch is taken off advantages there, here they stay as they are")
    samples = values["rollout_batch_size"] * values["n_samples_per_prompt"]
    if samples % values["train_batch_size"]:
        notes.append(
            f"--train_batch_size {values['train_batch_size']} does not divide the {samples} samples of a rollout; what is left over waits "
            f"for the next one there, and is shared among the optimizer steps of its own here"
        )
    yield "algorithm.name", ALGORITHMS[estimator]
    yield "algorithm.whitening", "batch" if is_scaled else "none"
    yield "algorithm.prompts_per_step", values["rollout_batch_size"]
    yield "algorithm.samples_per_prompt", values["n_samples_per_prompt"]
    yield "algorithm.optimizer_steps", optimizer_steps(values)
    yield "algorithm.epochs", values["max_epochs"]
    yield "algorithm.clip_low", values["eps_clip"]
    yield "algorithm.clip_high", values["eps_clip"]
    yield "algorithm.aggregation", "token"
    yield "algorithm.gamma", values["gamma"] if estimator in ("gae", "reinforce") else 1.0
    yield "algorithm.lam", values["lambd"]
    yield "algorithm.entropy_coefficient", values["entropy_loss_coef"]
    yield "algorithm.reward_clip", values["reward_clip_range"]
    yield "algorithm.bootstrap_truncated", False


def optimizer_steps(values: Values) -> int:
    """Optimizer steps of one pass over a step's samples."""
    return max(values["rollout_batch_size"] * values["n_samples_per_prompt"] // values["train_batch_size"], 1)


def _kl(values: Values) -> Iterator[tuple[str, Any]]:
    if values["use_kl_loss"] and values["kl_estimator"] == "k1" and values["init_kl_coef"] > 0:
        raise ValueError("--use_kl_loss with --kl_estimator k1 has no gradient towards the reference: add --kl_estimator k2 or k3")
    yield "algorithm.kl.coefficient", values["init_kl_coef"]
    yield "algorithm.kl.estimator", values["kl_estimator"]
    yield "algorithm.kl.place", "loss" if values["use_kl_loss"] else "reward"
    yield "algorithm.kl.target", values["kl_target"] if values["init_kl_coef"] > 0 else None  # a coefficient of 0 stays 0 there
    yield "algorithm.kl.horizon", values["kl_horizon"]


def _critic(values: Values, notes: list[str]) -> Iterator[tuple[str, Any]]:
    if values["critic_pretrain"] is not None and values["advantage_estimator"] == "gae":
        yield "critic.path", values["critic_pretrain"]
        if values["critic_pretrain"] != values["pretrain"]:
            notes.append("--critic_pretrain: its value head is not read, the critic's begins at zero")
    yield "critic.learning_rate", values["critic_learning_rate"]
    yield "critic.value_clip", values["value_clip"]
    yield "critic.warmup_steps", max(values["freezing_actor_steps"], 0)


def _optimizer(values: Values, num_rows: int | None) -> Iterator[tuple[str, Any]]:
    """AdamW with the cosine that every run has there."""
    total = num_steps(values, num_rows) * optimizer_steps(values) * values["max_epochs"]
    yield "optimizer.learning_rate", values["actor_learning_rate"]
    yield "optimizer.schedule", "cosine"
    yield "optimizer.warmup_steps", math.ceil(total * values["lr_warmup_ratio"])
    yield "optimizer.final_ratio", 0.1
    yield "optimizer.beta1", values["adam_betas"][0]
    yield "optimizer.beta2", values["adam_betas"][1]
    yield "optimizer.weight_decay", values["l2"]
    yield "optimizer.grad_clip", values["max_norm"]


def _run(values: Values, num_rows: int | None, notes: list[str]) -> Iterator[tuple[str, Any]]:
    if num_rows and num_rows > values["max_samples"]:
        notes.append(f"--max_samples: cut the data to their first {int(values['max_samples'])} rows, all {num_rows} are visited here")
    yield "run.folder", values["save_path"]
    yield "run.steps", num_steps(values, num_rows)
    yield "run.seed", values["seed"]
    yield "run.save_every", max(values["save_steps"], 0)
    yield "run.keep_checkpoints", values["max_ckpt_num"]
    yield "run.eval_every", _eval_every(values, num_rows)
    yield "run.eval_samples", values["eval_n_samples_per_prompt"]
    wandb, tensorboard = values["use_wandb"] is not None, values["use_tensorboard"] is not None
    yield "run.trackers", ["wandb"] if wandb else ["tensorboard"] if tensorboard else []
    if wandb:
        notes.append("the key of --use_wandb is not written down: set WANDB_API_KEY in the environment")


def num_steps(values: Values, num_rows: int | None) -> int:
    """Steps of the run, as there: whole batches of one pass over the rows, times the passes.

    Raises:
        ValueError: it follows from the rows and they are not known, or are fewer than a batch.
    """
    if values["max_global_steps"] is not None:
        return values["max_global_steps"]
    return _steps_per_pass(values, num_rows, wanted="run.steps", instead="the steps with --max_global_steps N") * values["num_episodes"]


def _steps_per_pass(values: Values, num_rows: int | None, *, wanted: str, instead: str) -> int:
    if num_rows is None:
        raise ValueError(
            f"{wanted} follows from the rows of {values['prompt_data']}, which is no file here: say how many they are with --rows N, "
            f"or {instead}"
        )
    steps = int(min(num_rows, values["max_samples"])) // values["rollout_batch_size"]
    if not steps:
        raise ValueError(f"{num_rows} rows are less than one --rollout_batch_size of {values['rollout_batch_size']}: lower it")
    return steps


def _eval_every(values: Values, num_rows: int | None) -> int:
    """Steps between evaluations: there once a pass where --eval_steps is -1."""
    if values["eval_dataset"] is None:
        return 0
    if values["eval_steps"] > 0:
        return values["eval_steps"]
    return _steps_per_pass(values, num_rows, wanted="run.eval_every", instead="the steps between evaluations with --eval_steps N")
