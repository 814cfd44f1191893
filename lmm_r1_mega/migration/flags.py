"""The flags of LMM-R1's `train_ppo_ray` (a fork of OpenRLHF 0.7.3) and of OpenRLHF since 2026, and what becomes of each.

Names, kinds and defaults are facts of those programs; every flag has one row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal["switch", "int", "float", "text"]
Arity = Literal["one", "pair", "many"]


@dataclass(frozen=True)
class Flag:
    """One flag: what it takes there, and either the settings that it becomes or the reason why it becomes none."""

    kind: Kind
    default: Any = None
    settings: tuple[str, ...] = ()
    """Settings whose value follows from the flag, alone or with others."""
    is_setting: bool = False
    """Whether its value is that of the first setting, unchanged."""
    reason: str = ""
    """Why the flag is dropped; empty if it is not."""
    is_missed: bool = False
    """Whether a run that sets the flag means something else without it."""
    values: Arity = "one"
    choices: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()
    """Its names since 2026, when flags got dots."""


def as_is(kind: Kind, default: Any, settings: str, newer: str = "", *, values: Arity = "one", choices: Iterable[str] = ()) -> Flag:
    """A flag whose value is that of the first of these settings; the others follow from it and from further flags."""
    return replace(to(kind, default, settings, newer, values=values, choices=choices), is_setting=True)


def to(kind: Kind, default: Any, settings: str, newer: str = "", *, values: Arity = "one", choices: Iterable[str] = ()) -> Flag:
    """A flag from which settings are worked out."""
    return Flag(kind, default, tuple(settings.split()), values=values, choices=tuple(choices), newer=tuple(newer.split()))


def dropped(kind: Kind, default: Any, reason: str, newer: str = "", *, values: Arity = "one") -> Flag:
    """A flag that says how there, and nothing about what is learnt."""
    return Flag(kind, default, reason=reason, values=values, newer=tuple(newer.split()))


def missed(kind: Kind, default: Any, reason: str, newer: str = "", *, values: Arity = "one") -> Flag:
    """A flag without which the run means something else."""
    return replace(dropped(kind, default, reason, newer, values=values), is_missed=True)


ALGORITHMS = {
    "gae": "ppo",
    "reinforce": "reinforce_pp",
    "rloo": "rloo",
    "reinforce_baseline": "reinforce_baseline",
    "group_norm": "grpo",
    "dr_grpo": "dr_grpo",
}
"""Estimators there -> the row of our algorithms that computes the same."""
SCHEDULES = {
    "cosine_with_min_lr": "cosine",
    "cosine": "cosine",
    "linear": "linear",
    "constant": "constant",
    "constant_with_warmup": "constant",
}
"""Learning-rate schedules there -> ours."""

_STEPS = "algorithm.optimizer_steps optimizer.warmup_steps"
_IMPORTANCE = "algorithm.importance_cap algorithm.importance_bounds"
_REFERENCE = "the reference is a copy of the policy's weights in host memory"
_REWARDS = "rules run in worker processes without GPUs, reward models in turn on the trainer's"
_CRITIC = "the critic lies on the policy's ranks"
_ROWS = "samples are packed into rows of layout.max_tokens_per_microbatch"
_CHECKPOINTS = "a checkpoint is always complete, and loads in any layout"
_DEEPSPEED = "a setting of DeepSpeed"
_LORA = "goes with --lora_rank"
_ENVIRONMENT = "say it in the environment:"
_SPEED = "how fast it is there, and nothing that is learnt"
_TRAINED = ("actor", "critic")
_OWN = "the critic has the policy's optimizer"

ALL_FLAGS: dict[str, Flag] = {
    # processes and engines
    "ref_num_nodes": dropped("int", 1, _REFERENCE, "ref.num_nodes"),
    "ref_num_gpus_per_node": dropped("int", 8, _REFERENCE, "ref.num_gpus_per_node"),
    "reward_num_nodes": dropped("int", 1, _REWARDS, "reward.num_nodes"),
    "reward_num_gpus_per_node": dropped("int", 8, _REWARDS, "reward.num_gpus_per_node"),
    "colocate_actor_ref": dropped("switch", False, _REFERENCE, "train.colocate_actor_ref"),
    "actor_num_nodes": to("int", 1, "layout.data cluster.nodes", "actor.num_nodes"),
    "actor_num_gpus_per_node": to("int", 8, "layout.data cluster.nodes cluster.gpus_per_node", "actor.num_gpus_per_node"),
    "critic_num_nodes": dropped("int", 1, _CRITIC, "critic.num_nodes"),
    "critic_num_gpus_per_node": dropped("int", 8, _CRITIC, "critic.num_gpus_per_node"),
    "colocate_critic_reward": dropped("switch", False, _REWARDS, "train.colocate_critic_reward"),
    "colocate_all_models": to("switch", False, "cluster.placement cluster.nodes cluster.gpus_per_node", "train.colocate_all"),
    "vllm_num_engines": to("int", None, "rollout.engines cluster.nodes", "vllm.num_engines"),
    "vllm_tensor_parallel_size": as_is("int", 1, "rollout.tensor rollout.engines cluster.nodes", "vllm.tensor_parallel_size"),
    "vllm_sync_backend": dropped("text", "nccl", "weights travel as cluster.placement asks for", "vllm.sync_backend"),
    "vllm_sync_with_ray": dropped("switch", False, "weights travel as cluster.placement asks for", "vllm.sync_with_ray"),
    "enable_prefix_caching": as_is("switch", False, "rollout.prefix_caching", "vllm.enable_prefix_caching"),
    "enforce_eager": as_is("switch", False, "rollout.enforce_eager", "vllm.enforce_eager"),
    "vllm_enable_sleep": dropped("switch", False, "engines sleep in turn wherever cluster.placement is hybrid", "vllm.enable_sleep"),
    "vllm_gpu_memory_utilization": as_is("float", 0.95, "rollout.gpu_memory", "vllm.gpu_memory_utilization"),
    "limit_mm_per_prompt": dropped("text", None, "images are counted in the data"),
    # checkpoints
    "eval_steps": to("int", -1, "run.eval_every", "eval.steps"),
    "save_steps": to("int", -1, "run.save_every", "ckpt.save_steps"),
    "logging_steps": dropped("int", 1, "every step is logged", "logger.logging_steps"),
    "ckpt_path": dropped("text", "./ckpt/checkpoints_ppo_ray", "checkpoints lie in run.folder", "ckpt.path"),
    "save_hf_ckpt": dropped("switch", False, "the final model is exported; `convert to-hf` does it for any checkpoint", "ckpt.save_hf"),
    "disable_ds_ckpt": dropped("switch", False, _CHECKPOINTS, "ckpt.disable_ds"),
    "max_ckpt_num": as_is("int", 3, "run.keep_checkpoints", "ckpt.max_num"),
    "max_ckpt_mem": dropped("int", 1e8, "run.keep_checkpoints bounds them"),
    "load_checkpoint": dropped("switch", False, "`lmm-r1-mega resume RUN` goes on with a run", "ckpt.load_enable"),
    "use_ds_universal_ckpt": dropped("switch", False, _CHECKPOINTS, "ds.use_universal_ckpt"),
    # DeepSpeed and speed
    "local_rank": dropped("int", -1, "ranks are placed by Ray"),
    "zero_stage": to("int", 2, "layout.distributed_optimizer", "ds.zero_stage"),
    "gradient_checkpointing": to("switch", False, "model.recompute", "actor.gradient_checkpointing_enable"),
    "deepcompile": dropped("switch", False, _DEEPSPEED, "ds.deepcompile"),
    "bf16": to("switch", False, "model.precision"),
    "enable_ema": dropped("switch", False, "no averaged weights are kept; training does not use them", "train.enable_ema"),
    "ema_beta": dropped("float", 0.992, "goes with --enable_ema", "train.ema_beta"),
    "zpg": dropped("int", 1, _DEEPSPEED, "ds.zpg"),
    "adam_offload": dropped("switch", False, "the optimizer's state stays on the GPUs: `plan` says on how many it fits", "ds.adam_offload"),
    "actor_init_on_gpu": dropped("switch", False, "weights are read rank by rank"),
    "flash_attn": dropped("switch", False, "attention of packed rows is always the fast one"),
    "use_liger_kernel": dropped("switch", False, "kernels are Transformer Engine's", "ds.use_liger_kernel"),
    "grad_accum_dtype": dropped("text", None, "gradients are summed in fp32", "ds.grad_accum_dtype"),
    "overlap_comm": dropped("switch", False, _DEEPSPEED, "ds.overlap_comm"),
    "gradient_checkpointing_use_reentrant": dropped(
        "switch", False, "megatron.core recomputes in its own way", "actor.gradient_checkpointing_reentrant"
    ),
    "disable_fast_tokenizer": dropped("switch", False, "the tokenizer is the model's fast one", "data.disable_fast_tokenizer"),
    "deepspeed_enable_sleep": dropped("switch", False, "engines make room by themselves, see rollout.gpu_memory", "ds.enable_sleep"),
    "packing_samples": dropped("switch", False, _ROWS, "ds.packing_samples"),
    # LoRA
    "load_in_4bit": missed("switch", False, "weights are trained in model.precision", "ds.load_in_4bit"),
    "lora_rank": missed("int", 0, "all weights that model.freeze does not name are trained", "ds.lora.rank"),
    "lora_alpha": dropped("int", 16, _LORA, "ds.lora.alpha"),
    "target_modules": dropped("text", "all-linear", _LORA, "ds.lora.target_modules", values="many"),
    "exclude_modules": dropped("text", None, _LORA, values="many"),
    "lora_dropout": dropped("float", 0.0, _LORA, "ds.lora.dropout"),
    # the algorithm
    "save_path": as_is("text", "./ckpt", "run.folder", "ckpt.output_dir"),
    "num_episodes": to("int", 1, "run.steps optimizer.warmup_steps", "train.num_episodes"),
    "max_global_steps": to("int", None, "run.steps optimizer.warmup_steps"),
    "rollout_batch_size": as_is("int", 1024, f"algorithm.prompts_per_step {_STEPS} run.steps run.eval_every", "rollout.batch_size"),
    "micro_rollout_batch_size": dropped("int", 8, _ROWS, "rollout.micro_batch_size"),
    "store_extra_buffers": missed("switch", False, "samples beyond a step's are dropped, so that all are of the newest weights"),
    "max_epochs": as_is("int", 1, "algorithm.epochs optimizer.warmup_steps", "train.max_epochs"),
    "prompt_max_len": as_is("int", 1024, "data.max_prompt_tokens layout.max_tokens_per_microbatch"),
    "generate_max_len": as_is("int", 1024, "rollout.max_response_tokens layout.max_tokens_per_microbatch"),
    "max_len": dropped("int", None, "deprecated there: the limits of prompt and response say it"),
    "max_samples": to("int", 1e8, "run.steps run.eval_every optimizer.warmup_steps", "data.max_samples"),
    "max_norm": as_is("float", 1.0, "optimizer.grad_clip", "actor.max_norm"),
    "l2": as_is("float", 0.0, "optimizer.weight_decay", "actor.adam.weight_decay"),
    "ptx_coef": dropped("float", 0.05, "not read there"),
    "eps_clip": to("float", 0.2, "algorithm.clip_low algorithm.clip_high", "actor.eps_clip"),
    "value_clip": as_is("float", 0.2, "critic.value_clip", "critic.value_clip"),
    "lambd": as_is("float", 1.0, "algorithm.lam", "algo.advantage.lambd"),
    "gamma": to("float", 1.0, "algorithm.gamma", "algo.advantage.gamma"),
    "micro_train_batch_size": dropped("int", 4, _ROWS, "train.micro_batch_size"),
    "train_batch_size": to("int", 128, _STEPS, "train.batch_size"),
    "normalize_reward": to("switch", False, "reward.normalize", "reward.normalize_enable"),
    "top_p": as_is("float", 1.0, "rollout.top_p", "rollout.top_p"),
    "temperature": as_is("float", 1.0, "rollout.temperature", "rollout.temperature"),
    "seed": as_is("int", 42, "run.seed", "train.seed"),
    "full_determinism": dropped(
        "switch", False, "samples depend on run.seed, the prompt and their number alone", "train.full_determinism_enable"
    ),
    "freezing_actor_steps": to("int", -1, "critic.warmup_steps", "critic.freezing_steps"),
    "n_samples_per_prompt": as_is("int", 1, f"algorithm.samples_per_prompt {_STEPS}", "rollout.n_samples_per_prompt"),
    "save_value_network": dropped("switch", False, "the critic is in every checkpoint", "critic.save_value_network"),
    "actor_learning_rate": as_is("float", 1e-06, "optimizer.learning_rate", "actor.adam.lr"),
    "critic_learning_rate": as_is("float", 9e-06, "critic.learning_rate", "critic.adam.lr"),
    "lr_warmup_ratio": to("float", 0.03, "optimizer.warmup_steps", "actor.lr_warmup_ratio"),
    "kl_target": to("float", None, "algorithm.kl.target", "algo.kl.target"),
    "kl_horizon": as_is("int", 10000, "algorithm.kl.horizon", "algo.kl.horizon"),
    "init_kl_coef": as_is("float", 0.01, "algorithm.kl.coefficient algorithm.kl.target", "algo.kl.init_coef"),
    "kl_estimator": as_is("text", "k1", "algorithm.kl.estimator", "algo.kl.estimator", choices=("k1", "k2", "k3")),
    "aux_loss_coef": missed("float", 0.0, "there are no mixtures of experts", "actor.aux_loss_coef"),
    "entropy_loss_coef": as_is("float", 0.0, "algorithm.entropy_coefficient", "actor.entropy_coef"),
    "adam_betas": to("float", [0.9, 0.95], "optimizer.beta1 optimizer.beta2", "actor.adam.betas", values="pair"),
    "reward_clip_range": as_is("float", [-10.0, 10.0], "algorithm.reward_clip", "reward.clip_range", values="pair"),
    "freeze_prefix": to("text", None, "model.freeze", values="many"),
    "processor_kwargs": to("text", None, "data.min_pixels data.max_pixels"),
    "advantage_estimator": to(
        "text", "gae", "algorithm.name algorithm.whitening critic.path", "algo.advantage.estimator", choices=ALGORITHMS
    ),
    "use_kl_loss": to("switch", False, "algorithm.kl.apply_to", "algo.kl.use_loss"),
    "no_advantage_std_norm": to("switch", False, "algorithm.whitening", "algo.advantage.no_std_norm"),
    "ring_attn_size": dropped("int", 1, "long rows are split over layout.tensor ranks; the result is the same", "ds.ring_attn_size"),
    "ring_head_stride": dropped("int", 1, "goes with --ring_attn_size", "ds.ring_attn_head_stride"),
    # models and rewards
    "pretrain": as_is("text", None, "model.path", "actor.model_name_or_path"),
    "reward_pretrain": to("text", None, "reward.models reward.weights", "reward.model_name_or_path"),
    "remote_rm_url": to("text", None, "reward.weights reward.function reward.remote.urls", "reward.remote_url"),
    "critic_pretrain": to("text", None, "critic.path", "critic.model_name_or_path"),
    "value_head_prefix": dropped("text", "score", "the critic's head is new and begins at zero", "ds.value_head_prefix"),
    "ref_reward_offload": dropped("switch", False, _REFERENCE, "ref.offload reward.offload"),
    "custom_experience_filter": missed("text", None, "no function filters; algorithm.dynamic_sampling replaces groups of equal rewards"),
    # data
    "prompt_data": to("text", None, "data.train", "data.prompt_dataset"),
    "prompt_data_probs": to("text", None, "data.probabilities", "data.prompt_probs"),
    "prompt_split": to("text", "train", "data.train", "data.prompt_split"),
    "eval_dataset": to("text", None, "data.eval run.eval_every", "eval.dataset"),
    "eval_split": to("text", "test", "data.eval", "eval.split"),
    "eval_temperature": dropped("float", 0.6, "held-out answers are sampled at rollout.temperature, and once greedily", "eval.temperature"),
    "eval_n_samples_per_prompt": as_is("int", 4, "run.eval_samples", "eval.n_samples_per_prompt"),
    "input_key": as_is("text", "input", "data.input_key", "data.input_key"),
    "label_key": as_is("text", None, "data.label_key", "data.label_key"),
    "input_template": missed(
        "text", None, "the model's chat template is used: put the words into the rows or data.system_prompt", "data.input_template"
    ),
    "apply_chat_template": dropped("switch", False, "the model's chat template is always used", "data.apply_chat_template"),
    # trackers and the rest
    "use_wandb": to("text", None, "run.trackers", "logger.wandb.key"),
    "wandb_org": dropped("text", None, f"{_ENVIRONMENT} WANDB_ENTITY", "logger.wandb.org"),
    "wandb_group": dropped("text", None, f"{_ENVIRONMENT} WANDB_RUN_GROUP", "logger.wandb.group"),
    "wandb_project": dropped("text", "openrlhf_train_ppo", f"{_ENVIRONMENT} WANDB_PROJECT", "logger.wandb.project"),
    "wandb_run_name": dropped("text", None, "a run is named as its folder", "logger.wandb.run_name"),
    "use_tensorboard": to("text", None, "run.trackers", "logger.tensorboard_dir"),
    "perf": dropped("switch", False, "not read there; perf/* and time/* are always measured"),
    "use_ms": dropped("switch", False, "models are folders on disk, data files or `hub:OWNER/NAME`"),
    # since 2026
    "data.max_len": to("int", 2048, "data.max_prompt_tokens rollout.max_response_tokens layout.max_tokens_per_microbatch"),
    "rollout.max_new_tokens": to("int", None, "rollout.max_response_tokens layout.max_tokens_per_microbatch reward.overlong"),
    "actor.eps_clip_low_high": to("float", None, "algorithm.clip_low algorithm.clip_high", values="pair"),
    "actor.dual_clip": to("float", None, "algorithm.dual_clip"),
    "actor.policy_loss_type": to("text", "ppo", "algorithm.policy_loss algorithm.aggregation", choices=("ppo", "gspo")),
    "actor.adam.eps": as_is("float", 1e-08, "optimizer.eps"),
    "actor.lr_scheduler": to("text", "cosine_with_min_lr", "optimizer.schedule optimizer.final_ratio", choices=SCHEDULES),
    "actor.min_lr_ratio": to("float", 0.1, "optimizer.final_ratio"),
    "actor.freeze_visual_encoder": to("switch", False, "model.freeze"),
    "ds.tensor_parallel_size": to("int", 1, "layout.tensor layout.data"),
    "algo.dynamic_filtering_enable": to("switch", False, "algorithm.dynamic_sampling.enabled"),
    "algo.advantage.is_correction_enable": to("switch", False, _IMPORTANCE),
    "algo.advantage.is_correction_threshold": to("float", [0.5, 5.0], _IMPORTANCE, values="pair"),
    "algo.advantage.is_correction_type": to("text", "tis", _IMPORTANCE, choices=("tis", "icepop")),
    "reward.overlong_buffer_len": to("float", None, "reward.overlong reward.weights"),
    "reward.overlong_penalty_factor": to("float", 1.0, "reward.weights"),
    "train.async_enable": to("switch", False, "rollout.max_staleness"),
    "train.agent_func_path": missed("text", None, "agents are not run here; the rewards that one gives have to come from reward.function"),
    "train.partial_rollout_enable": missed("switch", False, "a response is of one set of weights here"),
    "train.async_queue_size": missed("int", 1, "generation is one step ahead at most"),
    "algo.dynamic_filtering_range": missed("float", [0.0, 1.0], "groups of equal rewards are replaced, and no others", values="pair"),
    "reward.stop_properly_penalty_coef": missed("float", None, "use reward.mask_truncated or reward.overlong for cut responses"),
    "rollout.vllm_generate_batch_size": missed("int", None, "use algorithm.dynamic_sampling.oversampling"),
    "ds.param_dtype": missed("text", "bf16", "there is no fp16; bf16 is taken"),
    "data.image_key": missed("text", "images", "images are found in the columns images and image: rename it"),
    "actor.optim": missed("text", "adam", "the optimizer is AdamW"),
    "critic.optim": missed("text", "adam", "the optimizer is AdamW"),
    "critic.adam.betas": missed("float", [0.9, 0.95], _OWN, values="pair"),
    "critic.adam.eps": missed("float", 1e-08, _OWN),
    "critic.adam.weight_decay": missed("float", 0.0, _OWN),
    "critic.lr_scheduler": missed("text", "cosine_with_min_lr", _OWN),
    "critic.lr_warmup_ratio": missed("float", 0.03, _OWN),
    "critic.min_lr_ratio": missed("float", 0.1, _OWN),
    "critic.max_norm": missed("float", 1.0, _OWN),
    "ckpt.max_mem": dropped("float", None, "run.keep_checkpoints bounds them"),
    "ckpt.best_metric_key": dropped("text", "", "the newest checkpoints are kept, and every evaluation is in metrics.jsonl"),
    "ds.attn_implementation": dropped("text", "flash_attention_2", _SPEED),
    "ds.experts_implementation": dropped("text", None, _SPEED),
    "data.dataloader_num_workers": dropped("int", 0, _SPEED),
    "train.dynamic_batch_enable": dropped("switch", False, _ROWS),
    "rollout.max_tokens_per_gpu": dropped("int", None, _ROWS),
    "train.max_tokens_per_gpu": dropped("int", 16192, _ROWS),
    "data.max_images_per_prompt": dropped("int", 0, "images are counted in the data"),
    **{f"{part}.muon.{name}": dropped("float", None, "goes with muon") for part in _TRAINED for name in ("lr", "momentum", "ns_steps")},
    **{f"{part}.muon.{name}": dropped("switch", False, "goes with muon") for part in _TRAINED for name in ("nesterov", "no_nesterov")},
}
FLAGS = {name: flag for name, flag in ALL_FLAGS.items() if "." not in name}
"""Those of LMM-R1."""
ADDED = {name: flag for name, flag in ALL_FLAGS.items() if "." in name}
"""Those that came with the dots."""
RENAMED = {newer: name for name, flag in FLAGS.items() for newer in flag.newer}
"""Newer name -> the flag that means the same."""
DEFAULTS: dict[str, Any] = {"value_clip": 0.5, "bf16": True, "eval_split": "train"}
"""Since 2026, if they differ."""
