"""The flags of LMM-R1's `train_ppo_ray` (a fork of OpenRLHF 0.7.3), and what becomes of each.

Names, kinds and defaults are facts of that program; every one of them has a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["switch", "int", "float", "text"]


@dataclass(frozen=True)
class Flag:
    """One flag: what it takes there, and either the settings that it becomes or the reason why it becomes none."""

    kind: Kind
    default: Any = None
    settings: tuple[str, ...] = ()
    """Settings whose value follows from the flag, alone or with others."""
    reason: str = ""
    """Why the flag is dropped; empty where it is not."""
    is_missed: bool = False
    """Whether a run that sets the flag means something else without it."""
    values: Literal["one", "pair", "many"] = "one"
    choices: tuple[str, ...] = ()


def _to(kind: Kind, default: Any, *settings: str, values: Literal["one", "pair", "many"] = "one", choices: tuple[str, ...] = ()) -> Flag:
    """A flag that becomes settings."""
    return Flag(kind, default, settings, values=values, choices=choices)


def _dropped(kind: Kind, default: Any, reason: str, *, values: Literal["one", "pair", "many"] = "one") -> Flag:
    """A flag that says how there, and nothing about what is learnt."""
    return Flag(kind, default, reason=reason, values=values)


def _missed(kind: Kind, default: Any, reason: str) -> Flag:
    """A flag without which the run means something else."""
    return Flag(kind, default, reason=reason, is_missed=True)


ESTIMATORS = ("gae", "reinforce", "rloo", "reinforce_baseline", "group_norm", "dr_grpo")
_REFERENCE = "the reference is a copy of the policy's weights in host memory"
_REWARDS = "rules run in worker processes without GPUs, reward models in turn on the trainer's"
_CRITIC = "the critic lies on the policy's ranks"
_ROWS = "samples are packed into rows of layout.row_tokens"
_CHECKPOINTS = "a checkpoint is always complete, and loads in any layout"
_DEEPSPEED = "a setting of DeepSpeed"
_LORA = "goes with --lora_rank"
_ENVIRONMENT = "say it in the environment:"

FLAGS: dict[str, Flag] = {
    # processes and engines
    "ref_num_nodes": _dropped("int", 1, _REFERENCE),
    "ref_num_gpus_per_node": _dropped("int", 8, _REFERENCE),
    "reward_num_nodes": _dropped("int", 1, _REWARDS),
    "reward_num_gpus_per_node": _dropped("int", 8, _REWARDS),
    "colocate_actor_ref": _dropped("switch", False, _REFERENCE),
    "actor_num_nodes": _to("int", 1, "layout.data", "cluster.nodes"),
    "actor_num_gpus_per_node": _to("int", 8, "layout.data", "cluster.nodes", "cluster.gpus_per_node"),
    "critic_num_nodes": _dropped("int", 1, _CRITIC),
    "critic_num_gpus_per_node": _dropped("int", 8, _CRITIC),
    "colocate_critic_reward": _dropped("switch", False, _REWARDS),
    "colocate_all_models": _to("switch", False, "cluster.placement", "cluster.nodes", "cluster.gpus_per_node"),
    "vllm_num_engines": _to("int", None, "rollout.engines", "cluster.nodes"),
    "vllm_tensor_parallel_size": _to("int", 1, "rollout.tensor", "rollout.engines", "cluster.nodes"),
    "vllm_sync_backend": _dropped("text", "nccl", "weights travel as cluster.placement asks for"),
    "vllm_sync_with_ray": _dropped("switch", False, "weights travel as cluster.placement asks for"),
    "enable_prefix_caching": _to("switch", False, "rollout.prefix_caching"),
    "enforce_eager": _to("switch", False, "rollout.enforce_eager"),
    "vllm_enable_sleep": _dropped("switch", False, "engines sleep in turn wherever cluster.placement is hybrid"),
    "vllm_gpu_memory_utilization": _to("float", 0.95, "rollout.gpu_memory"),
    "limit_mm_per_prompt": _dropped("text", None, "images are counted in the data"),
    # checkpoints
    "eval_steps": _to("int", -1, "run.eval_every"),
    "save_steps": _to("int", -1, "run.save_every"),
    "logging_steps": _dropped("int", 1, "every step is logged"),
    "ckpt_path": _dropped("text", "./ckpt/checkpoints_ppo_ray", "checkpoints lie in run.folder"),
    "save_hf_ckpt": _dropped("switch", False, "the final model is exported; `convert to-hf` does it for any checkpoint"),
    "disable_ds_ckpt": _dropped("switch", False, _CHECKPOINTS),
    "max_ckpt_num": _to("int", 3, "run.keep_checkpoints"),
    "max_ckpt_mem": _dropped("int", 1e8, "run.keep_checkpoints bounds them"),
    "load_checkpoint": _dropped("switch", False, "`lmm-r1-mega resume RUN` goes on with a run"),
    "use_ds_universal_ckpt": _dropped("switch", False, _CHECKPOINTS),
    # DeepSpeed and speed
    "local_rank": _dropped("int", -1, "ranks are placed by Ray"),
    "zero_stage": _to("int", 2, "layout.distributed_optimizer"),
    "gradient_checkpointing": _to("switch", False, "model.recompute"),
    "deepcompile": _dropped("switch", False, _DEEPSPEED),
    "bf16": _to("switch", False, "model.precision"),
    "enable_ema": _dropped("switch", False, "no averaged weights are kept; training does not use them"),
    "ema_beta": _dropped("float", 0.992, "goes with --enable_ema"),
    "zpg": _dropped("int", 1, _DEEPSPEED),
    "adam_offload": _dropped("switch", False, "the optimizer's state stays on the GPUs: `plan` says on how many it fits"),
    "actor_init_on_gpu": _dropped("switch", False, "weights are read rank by rank"),
    "flash_attn": _dropped("switch", False, "attention of packed rows is always the fast one"),
    "use_liger_kernel": _dropped("switch", False, "kernels are Transformer Engine's"),
    "grad_accum_dtype": _dropped("text", None, "gradients are summed in fp32"),
    "overlap_comm": _dropped("switch", False, _DEEPSPEED),
    "gradient_checkpointing_use_reentrant": _dropped("switch", False, "megatron.core recomputes in its own way"),
    "disable_fast_tokenizer": _dropped("switch", False, "the tokenizer is the model's fast one"),
    "deepspeed_enable_sleep": _dropped("switch", False, "engines make room by themselves, see rollout.gpu_memory"),
    "packing_samples": _dropped("switch", False, _ROWS),
    # LoRA
    "load_in_4bit": _missed("switch", False, "weights are trained in model.precision"),
    "lora_rank": _missed("int", 0, "all weights that model.freeze does not name are trained"),
    "lora_alpha": _dropped("int", 16, _LORA),
    "target_modules": _dropped("text", "all-linear", _LORA, values="many"),
    "exclude_modules": _dropped("text", None, _LORA, values="many"),
    "lora_dropout": _dropped("float", 0.0, _LORA),
    # the algorithm
    "save_path": _to("text", "./ckpt", "run.folder"),
    "num_episodes": _to("int", 1, "run.steps", "optimizer.warmup_steps"),
    "max_global_steps": _to("int", None, "run.steps", "optimizer.warmup_steps"),
    "rollout_batch_size": _to(
        "int",
        1024,
        "algorithm.prompts_per_step",
        "algorithm.optimizer_steps",
        "run.steps",
        "run.eval_every",
        "optimizer.warmup_steps",
    ),
    "micro_rollout_batch_size": _dropped("int", 8, _ROWS),
    "store_extra_buffers": _missed("switch", False, "samples beyond a step's are dropped, so that all are of the newest weights"),
    "max_epochs": _to("int", 1, "algorithm.epochs", "optimizer.warmup_steps"),
    "prompt_max_len": _to("int", 1024, "data.max_prompt_tokens", "layout.row_tokens"),
    "generate_max_len": _to("int", 1024, "rollout.max_response_tokens", "layout.row_tokens"),
    "max_len": _dropped("int", None, "deprecated there: the limits of prompt and response say it"),
    "max_samples": _to("int", 1e8, "run.steps", "run.eval_every", "optimizer.warmup_steps"),
    "max_norm": _to("float", 1.0, "optimizer.grad_clip"),
    "l2": _to("float", 0.0, "optimizer.weight_decay"),
    "ptx_coef": _dropped("float", 0.05, "not read there"),
    "eps_clip": _to("float", 0.2, "algorithm.clip_low", "algorithm.clip_high"),
    "value_clip": _to("float", 0.2, "critic.value_clip"),
    "lambd": _to("float", 1.0, "algorithm.lam"),
    "gamma": _to("float", 1.0, "algorithm.gamma"),
    "micro_train_batch_size": _dropped("int", 4, _ROWS),
    "train_batch_size": _to("int", 128, "algorithm.optimizer_steps", "optimizer.warmup_steps"),
    "normalize_reward": _to("switch", False, "reward.normalize"),
    "top_p": _to("float", 1.0, "rollout.top_p"),
    "temperature": _to("float", 1.0, "rollout.temperature"),
    "seed": _to("int", 42, "run.seed"),
    "full_determinism": _dropped("switch", False, "samples depend on run.seed, the prompt and their number alone"),
    "freezing_actor_steps": _to("int", -1, "critic.warmup_steps"),
    "n_samples_per_prompt": _to("int", 1, "algorithm.samples_per_prompt", "algorithm.optimizer_steps", "optimizer.warmup_steps"),
    "save_value_network": _dropped("switch", False, "the critic is in every checkpoint"),
    "actor_learning_rate": _to("float", 1e-6, "optimizer.learning_rate"),
    "critic_learning_rate": _to("float", 9e-6, "critic.learning_rate"),
    "lr_warmup_ratio": _to("float", 0.03, "optimizer.warmup_steps"),
    "kl_target": _to("float", None, "algorithm.kl.target"),
    "kl_horizon": _to("int", 10000, "algorithm.kl.horizon"),
    "init_kl_coef": _to("float", 0.01, "algorithm.kl.coefficient", "algorithm.kl.target"),
    "kl_estimator": _to("text", "k1", "algorithm.kl.estimator", choices=("k1", "k2", "k3")),
    "aux_loss_coef": _missed("float", 0.0, "there are no mixtures of experts"),
    "entropy_loss_coef": _to("float", 0.0, "algorithm.entropy_coefficient"),
    "adam_betas": _to("float", [0.9, 0.95], "optimizer.beta1", "optimizer.beta2", values="pair"),
    "reward_clip_range": _to("float", [-10.0, 10.0], "algorithm.reward_clip", values="pair"),
    "freeze_prefix": _to("text", None, "model.freeze", values="many"),
    "processor_kwargs": _to("text", None, "data.min_pixels", "data.max_pixels"),
    "advantage_estimator": _to("text", "gae", "algorithm.name", "algorithm.whitening", "critic.path", choices=ESTIMATORS),
    "use_kl_loss": _to("switch", False, "algorithm.kl.place"),
    "no_advantage_std_norm": _to("switch", False, "algorithm.whitening"),
    "ring_attn_size": _dropped("int", 1, "long rows are split over layout.tensor ranks; the result is the same"),
    "ring_head_stride": _dropped("int", 1, "goes with --ring_attn_size"),
    # models and rewards
    "pretrain": _to("text", None, "model.path"),
    "reward_pretrain": _to("text", None, "reward.models", "reward.weights"),
    "remote_rm_url": _to("text", None, "reward.weights", "reward.function", "reward.remote.urls"),
    "critic_pretrain": _to("text", None, "critic.path"),
    "value_head_prefix": _dropped("text", "score", "the critic's head is new and begins at zero"),
    "ref_reward_offload": _dropped("switch", False, _REFERENCE),
    "custom_experience_filter": _missed("text", None, "no function filters; algorithm.dynamic_sampling replaces groups of equal rewards"),
    # data
    "prompt_data": _to("text", None, "data.train"),
    "prompt_data_probs": _to("text", None, "data.probabilities"),
    "prompt_split": _to("text", "train", "data.train"),
    "eval_dataset": _to("text", None, "data.eval", "run.eval_every"),
    "eval_split": _to("text", "test", "data.eval"),
    "eval_temperature": _dropped("float", 0.6, "held-out answers are sampled at rollout.temperature, and once greedily"),
    "eval_n_samples_per_prompt": _to("int", 4, "run.eval_samples"),
    "input_key": _to("text", "input", "data.input_key"),
    "label_key": _to("text", None, "data.label_key"),
    "input_template": _missed("text", None, "the model's chat template is used: put the words into the rows or data.system_prompt"),
    "apply_chat_template": _dropped("switch", False, "the model's chat template is always used"),
    # trackers and the rest
    "use_wandb": _to("text", None, "run.trackers"),
    "wandb_org": _dropped("text", None, f"{_ENVIRONMENT} WANDB_ENTITY"),
    "wandb_group": _dropped("text", None, f"{_ENVIRONMENT} WANDB_RUN_GROUP"),
    "wandb_project": _dropped("text", "openrlhf_train_ppo", f"{_ENVIRONMENT} WANDB_PROJECT"),
    "wandb_run_name": _dropped("text", None, "a run is named as its folder"),
    "use_tensorboard": _to("text", None, "run.trackers"),
    "perf": _dropped("switch", False, "not read there; perf/* and time/* are always measured"),
    "use_ms": _dropped("switch", False, "models are folders on disk, data files or `hub:OWNER/NAME`"),
}
