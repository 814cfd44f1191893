"""From the flags of `train_ppo_ray` to our settings, so that the run means the same.

The table in `flags.py` has the settings that take a flag's value unchanged. Each function here works out a few others, and writes all
of them: what is a default there need not be one here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmm_r1_mega.migration.flags import ALGORITHMS, ALL_FLAGS, SCHEDULES
from lmm_r1_mega.migration.rewards import reward_settings
from lmm_r1_mega.migration.values import MigrationInput, Values

UNWHITENED = ("group_norm", "dr_grpo")
"""Estimators whose advantages are not shifted and scaled over the batch there."""
PATCH_AREA = 28 * 28
ROW_TOKENS = 8192
MACHINE_GPUS = 8
"""Taken for a machine if flags only say how many of its GPUs a model has."""
HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
DATA_SUFFIXES = frozenset({".json", ".jsonl", ".csv", ".parquet", ".arrow"})
"""Of files that are read there as they are."""
Settings = Iterator[tuple[str, Any]]


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
            *sections, leaf = name.split(".")
            branch = tree
            for section in sections:
                branch = branch.setdefault(section, {})
            branch[leaf] = value
        return tree


def migrate(values: Values, *, num_rows: int | None, verifier: str | None = None) -> Migration:
    """Our settings for the flags.

    Raises:
        ValueError: a flag that is needed is missing, or flags do not go together.
    """
    flags = MigrationInput(values, num_rows, verifier, [f"--{name} is empty and counts as not given" for name in values.empty])
    for name, instead in (("pretrain", "the model's folder"), ("prompt_data", "the data files")):
        if values[name] is None:
            raise ValueError(f"--{name} is missing: name {instead}")
    of_program = {name: flag for name, flag in ALL_FLAGS.items() if values.is_newer or "." not in name}
    unchanged = {flag.settings[0]: values[name] for name, flag in of_program.items() if flag.is_setting}
    settings = {name: value for name, value in unchanged.items() if value is not None}
    for part in (_model, _processes, _data, _algorithm, _kl, _critic, reward_settings, _optimizer, _run):
        settings |= part(flags)
    if values.is_newer:
        _check_agents(flags)
        for newer_part in (_newer_lengths, _newer_loss, _newer_rest):
            settings |= newer_part(flags, settings)
    gone = {name: flag for name, flag in ALL_FLAGS.items() if name in values.present and flag.reason}
    return Migration(
        settings,
        notes=tuple(flags.notes),
        missed={name: flag.reason for name, flag in gone.items() if flag.is_missed and values[name] != flag.default},
        dropped={name: flag.reason for name, flag in gone.items() if not flag.is_missed},
    )


def _model(flags: MigrationInput) -> Settings:
    yield "model.precision", "bf16" if flags["bf16"] else "auto"
    yield "model.recompute", "full" if flags["gradient_checkpointing"] else "none"
    if flags["freeze_prefix"]:
        yield "model.freeze", [f"{prefix}*" for prefix in flags["freeze_prefix"]]
        if flags["advantage_estimator"] == "gae":
            flags.notes.append("--freeze_prefix: the critic is frozen with the policy here, there the policy alone")


def _processes(flags: MigrationInput) -> Settings:
    """One data rank per GPU of the actor; `plan` says if that is too little memory."""
    trainers = flags["actor_num_nodes"] * flags["actor_num_gpus_per_node"]
    tensor = flags["vllm_tensor_parallel_size"]
    engines = flags["vllm_num_engines"] or max(trainers // tensor, 1)
    is_hybrid = flags["colocate_all_models"] or not flags["vllm_num_engines"]
    needed = trainers if is_hybrid else trainers + engines * tensor
    machine = flags["actor_num_gpus_per_node"] if is_hybrid else max(flags["actor_num_gpus_per_node"], MACHINE_GPUS)
    if not flags["vllm_num_engines"]:
        flags.notes.append("without --vllm_num_engines the trainer generates there; here vLLM does, on the same GPUs")
    if not is_hybrid:
        gpus = f"trainer and engines have GPUs of their own, {needed} in all, on machines of {machine}"
        flags.notes.append(f"{gpus}: see cluster.gpus_per_node")
    yield "layout.data", trainers
    yield "layout.distributed_optimizer", flags["zero_stage"] > 0
    yield "layout.max_tokens_per_microbatch", max(ROW_TOKENS, flags["prompt_max_len"] + flags["generate_max_len"])
    yield "cluster.placement", "hybrid" if is_hybrid else "disaggregated"
    yield "cluster.gpus_per_node", machine
    yield "cluster.nodes", -(-needed // machine)
    yield "rollout.engines", engines


def _data(flags: MigrationInput) -> Settings:
    yield "data.train", data_files(flags["prompt_data"], split=flags["prompt_split"])
    if (shares := flags["prompt_data_probs"]) is not None:
        try:
            yield "data.probabilities", [float(share) for share in shares.split(",")]
        except ValueError:
            raise ValueError(f"--prompt_data_probs {shares}: give numbers with commas between them") from None
        once = "run.steps counts every row once: say other steps"
        flags.notes.append(f"--prompt_data_probs: a pass there lasts until each file is through; {once}")
    if flags["eval_dataset"] is not None:
        yield "data.eval", _by_name(data_files(flags["eval_dataset"], split=flags["eval_split"]))
    bounds = _processor_options(flags["processor_kwargs"] or "{}")
    yield "data.min_pixels", bounds.pop("min_pixels", 4 * PATCH_AREA)
    yield "data.max_pixels", bounds.pop("max_pixels", 16384 * PATCH_AREA)
    if bounds:
        flags.notes.append(f"--processor_kwargs {', '.join(bounds)}: only min_pixels and max_pixels are settings")
    flags.notes.append("images are read below their data file's folder alone: add other folders to data.image_roots")


def _processor_options(text: str) -> dict[str, Any]:
    try:
        options = json.loads(text)
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise ValueError(f'--processor_kwargs {text}: give a JSON object such as {{"min_pixels": 3136}}')
    return options


def data_files(names: str, *, split: str) -> list[str]:
    """Files as they are, and names that are none here and could be those of the hub as names of the hub.

    Example: "a.jsonl, b.parquet@part, owner/set" and split test -> ["a.jsonl", "b.parquet", "hub:owner/set:test"]
    """
    files = [name.split("@")[0].strip() for name in names.split(",")]
    of_hub = {name for name in files if HUB_NAME.fullmatch(name) and Path(name).suffix not in DATA_SUFFIXES and not Path(name).exists()}
    return [f"hub:{name}:{split}" if name in of_hub else name for name in files]


def _by_name(files: list[str]) -> dict[str, str]:
    """Each file under its name without folder and suffix, a set of the hub under its name without owner and split."""
    by_name: dict[str, str] = {}
    for file in files:
        other = by_name.setdefault(Path(file.split(":")[1]).name if file.startswith("hub:") else Path(file).stem, file)
        if other != file:
            raise ValueError(f"--eval_dataset {other} and {file} have the same name, under which results are told: rename one")
    return by_name


def _algorithm(flags: MigrationInput) -> Settings:
    estimator = flags["advantage_estimator"]
    is_scaled = estimator not in UNWHITENED and not flags["no_advantage_std_norm"]
    if estimator not in UNWHITENED and not is_scaled:
        flags.notes.append("--no_advantage_std_norm: the mean over the batch is taken off advantages there, here they stay as they are")
    samples = flags["rollout_batch_size"] * flags["n_samples_per_prompt"]
    if samples % flags["train_batch_size"]:
        flags.notes.append(
            f"--train_batch_size {flags['train_batch_size']} does not divide the {samples} samples of a rollout; what is left over waits "
            f"for the next one there, and is shared among the optimizer steps of its own here"
        )
    yield "algorithm.name", ALGORITHMS[estimator]
    yield "algorithm.whitening", "batch" if is_scaled else "none"
    yield "algorithm.optimizer_steps", _optimizer_steps(flags)
    yield "algorithm.clip_low", flags["eps_clip"]
    yield "algorithm.clip_high", flags["eps_clip"]
    yield "algorithm.aggregation", "token"
    yield "algorithm.gamma", flags["gamma"] if estimator in ("gae", "reinforce") else 1.0
    yield "algorithm.bootstrap_truncated", False


def _optimizer_steps(flags: MigrationInput) -> int:
    """Optimizer steps of one pass over a step's samples."""
    return max(flags["rollout_batch_size"] * flags["n_samples_per_prompt"] // flags["train_batch_size"], 1)


def _kl(flags: MigrationInput) -> Settings:
    if flags["use_kl_loss"] and flags["kl_estimator"] == "k1" and flags["init_kl_coef"] > 0:
        raise ValueError("--use_kl_loss with --kl_estimator k1 has no gradient towards the reference: add --kl_estimator k2 or k3")
    yield "algorithm.kl.apply_to", "loss" if flags["use_kl_loss"] else "reward"
    yield "algorithm.kl.target", flags["kl_target"] if flags["init_kl_coef"] > 0 else None  # a coefficient of 0 stays 0 there


def _critic(flags: MigrationInput) -> Settings:
    if flags["critic_pretrain"] is not None and flags["advantage_estimator"] == "gae":
        yield "critic.path", flags["critic_pretrain"]
        if flags["critic_pretrain"] != flags["pretrain"]:
            flags.notes.append("--critic_pretrain: its value head is not read, the critic's begins at zero")
    yield "critic.warmup_steps", max(flags["freezing_actor_steps"], 0)


def _optimizer(flags: MigrationInput) -> Settings:
    """AdamW with the cosine that every run had there until 2026."""
    total = _num_steps(flags) * _optimizer_steps(flags) * flags["max_epochs"]
    yield "optimizer.schedule", "cosine"
    yield "optimizer.warmup_steps", math.ceil(total * flags["lr_warmup_ratio"])
    yield "optimizer.final_ratio", 0.1
    yield "optimizer.beta1", flags["adam_betas"][0]
    yield "optimizer.beta2", flags["adam_betas"][1]


def _run(flags: MigrationInput) -> Settings:
    rows, most = flags.num_rows, int(flags["max_samples"])
    if rows and rows > most:
        flags.notes.append(f"--max_samples: cut the data to their first {most} rows, all {rows} are visited here")
    yield "run.steps", _num_steps(flags)
    yield "run.save_every", max(flags["save_steps"], 0)
    yield "run.eval_every", _eval_every(flags)
    wandb, tensorboard = flags["use_wandb"] is not None, flags["use_tensorboard"] is not None
    yield "run.trackers", ["wandb"] if wandb else ["tensorboard"] if tensorboard else []
    if wandb:
        flags.notes.append("the key of --use_wandb is not written down: set WANDB_API_KEY in the environment")


def _num_steps(flags: MigrationInput) -> int:
    """Steps of the run, as there: whole batches of one pass over the rows, times the passes.

    Raises:
        ValueError: it follows from the rows and they are not known, or are fewer than a batch.
    """
    if flags["max_global_steps"] is not None:
        return flags["max_global_steps"]
    return _steps_per_pass(flags, wanted="run.steps", instead="the steps with --max_global_steps N") * flags["num_episodes"]


def _eval_every(flags: MigrationInput) -> int:
    """Steps between evaluations: there once per pass if --eval_steps is -1."""
    if flags["eval_dataset"] is None or flags["eval_steps"] > 0:
        return 0 if flags["eval_dataset"] is None else flags["eval_steps"]
    return _steps_per_pass(flags, wanted="run.eval_every", instead="the steps between evaluations with --eval_steps N")


def _steps_per_pass(flags: MigrationInput, *, wanted: str, instead: str) -> int:
    rows, batch = flags.num_rows, flags["rollout_batch_size"]
    if rows is None:
        unknown = f"{wanted} follows from the rows of {flags['prompt_data']}, which is no file here"
        raise ValueError(f"{unknown}: say how many they are with --rows N, or {instead}")
    steps = int(min(rows, flags["max_samples"])) // batch
    if not steps:
        raise ValueError(f"{rows} rows are less than one --rollout_batch_size of {batch}: lower it")
    return steps


def _check_agents(flags: MigrationInput) -> None:
    if flags["train.agent_func_path"]:
        raise ValueError(
            "--train.agent_func_path: agents are not run here: write what it pays as reward_func(queries, prompts, labels) into a file "
            "and give that as --reward.remote_url FILE.py"
        )


def _newer_lengths(flags: MigrationInput, settings: dict[str, Any]) -> Settings:
    longest, response = flags["data.max_len"], flags["rollout.max_new_tokens"]
    if response is None:
        flags.notes.append(f"--data.max_len: prompt and response together may have {longest} tokens there, each of them here")
    response = response or longest
    yield "data.max_prompt_tokens", longest
    yield "rollout.max_response_tokens", response
    yield "layout.max_tokens_per_microbatch", max(ROW_TOKENS, longest + response)
    if (buffer := flags["reward.overlong_buffer_len"]) is not None:
        yield "reward.overlong", [int(response - buffer), response]
        yield "reward.weights", settings["reward.weights"] | {"overlong": flags["reward.overlong_penalty_factor"]}


def _newer_loss(flags: MigrationInput, settings: dict[str, Any]) -> Settings:
    low, high = flags["actor.eps_clip_low_high"] or (flags["eps_clip"], flags["eps_clip"])
    is_gspo = flags["actor.policy_loss_type"] == "gspo"
    yield "algorithm.clip_low", low
    yield "algorithm.clip_high", high
    yield "algorithm.dual_clip", flags["actor.dual_clip"]
    yield "algorithm.policy_loss", "gspo" if is_gspo else "clip"
    yield "algorithm.aggregation", "sequence" if is_gspo else "token"
    if flags["algo.advantage.is_correction_enable"]:
        low, high = flags["algo.advantage.is_correction_threshold"]
        is_dropped = flags["algo.advantage.is_correction_type"] == "icepop"
        yield ("algorithm.importance_bounds", [low, high]) if is_dropped else ("algorithm.importance_cap", high)
        if not is_dropped:
            raised = f"weights below {low} are raised to it there, and stay as they are here"
            flags.notes.append(f"--algo.advantage.is_correction_threshold: {raised}")


def _newer_rest(flags: MigrationInput, settings: dict[str, Any]) -> Settings:
    schedule, tensor = flags["actor.lr_scheduler"], flags["ds.tensor_parallel_size"]
    yield "optimizer.schedule", SCHEDULES[schedule]
    yield "optimizer.final_ratio", flags["actor.min_lr_ratio"] if schedule == "cosine_with_min_lr" else 0.0
    if tensor > 1:
        yield "layout.tensor", tensor
        yield "layout.data", max(settings["layout.data"] // tensor, 1)
    if flags["actor.freeze_visual_encoder"]:
        yield "model.freeze", [*settings.get("model.freeze", []), "visual*"]
    if flags["algo.dynamic_filtering_enable"]:
        yield "algorithm.dynamic_sampling.enabled", True
    if flags["train.async_enable"]:
        yield "rollout.max_staleness", 1
        flags.notes.append("--train.async_enable: generation is one step ahead here, whatever the queue there")
