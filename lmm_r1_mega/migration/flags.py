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


def to(kind: Kind, default: Any, *settings: str, values: Literal["one", "pair", "many"] = "one", choices: tuple[str, ...] = ()) -> Flag:
    """A flag that becomes settings."""
    return Flag(kind, default, settings, values=values, choices=choices)


def dropped(kind: Kind, default: Any, reason: str, *, values: Literal["one", "pair", "many"] = "one") -> Flag:
    """A flag that says how there, and nothing about what is learnt."""
    return Flag(kind, default, reason=reason, values=values)


def missed(kind: Kind, default: Any, reason: str, *, values: Literal["one", "pair", "many"] = "one") -> Flag:
    """A flag without which the run means something else."""
    return Flag(kind, default, reason=reason, is_missed=True, values=values)


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
    "ref_num_nodes": dropped("int", 1, _REFERENCE),
    "ref_num_gpus_per_node": dropped("int", 8, _REFERENCE),
    "reward_num_nodes": dropped("int", 1, _REWARDS),
    "reward_num_gpus_per_node": dropped("int", 8, _REWARDS),
    "colocate_actor_ref": dropped("switch", False, _REFERENCE),
    "actor_num_nodes": to("int", 1, "layout.data", "cluster.nodes"),
    "actor_num_gpus_per_node": to("int", 8, "layout.data", "cluster.nodes", "cluster.gpus_per_node"),
    "critic_num_nodes": dropped("int", 1, _CRITIC),
    "critic_num_gpus_per_node": dropped("int", 8, _CRITIC),
    "colocate_critic_reward": dropped("switch", False, _REWARDS),
    "colocate_all_models": to("switch", False, "cluster.placement", "cluster.nodes", "cluster.gpus_per_node"),
    "vllm_num_engines": to("int", None, "rollout.engines", "cluster.nodes"),
    "vllm_tensor_parallel_size": to("int", 1, "rollout.tensor", "rollout.engines", "cluster.nodes"),
    "vllm_sync_backend": dropped("text", "nccl", "weights travel as cluster.placement asks for"),
    "vllm_sync_with_ray": dropped("switch", False, "weights travel as cluster.placement asks for"),
    "enable_prefix_caching": to("switch", False, "rollout.prefix_caching"),
    "enforce_eager": to("switch", False, "rollout.enforce_eager"),
    "vllm_enable_sleep": dropped("switch", False, "engines sleep in turn wherever cluster.placement is hybrid"),
    "vllm_gpu_memory_utilization": to("float", 0.95, "rollout.gpu_memory"),
    "limit_mm_per_prompt": dropped("text", None, "images are counted in the data"),
    # checkpoints
    "eval_steps": to("int", -1, "run.eval_every"),
    "save_steps": to("int", -1, "run.save_every"),
    "logging_steps": dropped("int", 1, "every step is logged"),
    "ckpt_path": dropped("text", "./ckpt/checkpoints_ppo_ray", "checkpoints lie in run.folder"),
    "save_hf_ckpt": dropped("switch", False, "the final model is exported; `convert to-hf` does it for any checkpoint"),
    "disable_ds_ckpt": dropped("switch", False, _CHECKPOINTS),
    "max_ckpt_num": to("int", 3, "run.keep_checkpoints"),
    "max_ckpt_mem": dropped("int", 1e8, "run.keep_checkpoints bounds them"),
    "load_checkpoint": dropped("switch", False, "`lmm-r1-mega resume RUN` goes on with a run"),
    "use_ds_universal_ckpt": dropped("switch", False, _CHECKPOINTS),
    # DeepSpeed and speed
    "local_rank": dropped("int", -1, "ranks are placed by Ray"),
    "zero_stage": to("int", 2, "layout.distributed_optimizer"),
    "gradient_checkpointing": to("switch", False, "model.recompute"),
    "deepcompile": dropped("switch", False, _DEEPSPEED),
    "bf16": to("switch", False, "model.precision"),
    "enable_ema": dropped("switch", False, "no averaged weights are kept; training does not use them"),
    "ema_beta": dropped("float", 0.992, "goes with --enable_ema"),
    "zpg": dropped("int", 1, _DEEPSPEED),
    "adam_offload": dropped("switch", False, "the optimizer's state stays on the GPUs: `plan` says on how many it fits"),
    "actor_init_on_gpu": dropped("switch", False, "weights are read rank by rank"),
    "flash_attn": dropped("switch", False, "attention of packed rows is always the fast one"),
    "use_liger_kernel": dropped("switch", False, "kernels are Transformer Engine's"),
    "grad_accum_dtype": dropped("text", None, "gradients are summed in fp32"),
    "overlap_comm": dropped("switch", False, _DEEPSPEED),
    "gradient_checkpointing_use_reentrant": dropped("switch", False, "megatron.core recomputes in its own way"),
    "disable_fast_tokenizer": dropped("switch", False, "the tokenizer is the model's fast one"),
    "deepspeed_enable_sleep": dropped("switch", False, "engines make room by themselves, see rollout.gpu_memory"),
    "packing_samples": dropped("switch", False, _ROWS),
    # LoRA
    "load_in_4bit": missed("switch", False, "weights are trained in model.precision"),
    "lora_rank": missed("int", 0, "all weights that model.freeze does not name are trained"),
    "lora_alpha": dropped("int", 16, _LORA),
    "target_modules": dropped("text", "all-linear", _LORA, values="many"),
    "exclude_modules": dropped("text", None, _LORA, values="many"),
    "lora_dropout": dropped("float", 0.0, _LORA),
    # the algorithm
    "save_path": to("text", "./ckpt", "run.folder"),
    "num_episodes": to("int", 1, "run.steps", "optimizer.warmup_steps"),
    "max_global_steps": to("int", None, "run.steps", "optimizer.warmup_steps"),
    "rollout_batch_size": to(
        "int",
        1024,
        "algorithm.prompts_per_step",
        "algorithm.optimizer_steps",
        "run.steps",
        "run.eval_every",
        "optimizer.warmup_steps",
    ),
    "micro_rollout_batch_size": dropped("int", 8, _ROWS),
    "store_extra_buffers": missed("switch", False, "samples beyond a step's are dropped, so that all are of the newest weights"),
    "max_epochs": to("int", 1, "algorithm.epochs", "optimizer.warmup_steps"),
    "prompt_max_len": to("int", 1024, "data.max_prompt_tokens", "layout.row_tokens"),
    "generate_max_len": to("int", 1024, "rollout.max_response_tokens", "layout.row_tokens"),
    "max_len": dropped("int", None, "deprecated there: the limits of prompt and response say it"),
    "max_samples": to("int", 1e8, "run.steps", "run.eval_every", "optimizer.warmup_steps"),
    "max_norm": to("float", 1.0, "optimizer.grad_clip"),
    "l2": to("float", 0.0, "optimizer.weight_decay"),
    "ptx_coef": dropped("float", 0.05, "not read there"),
    "eps_clip": to("float", 0.2, "algorithm.clip_low", "algorithm.clip_high"),
    "value_clip": to("float", 0.2, "critic.value_clip"),
    "lambd": to("float", 1.0, "algorithm.lam"),
    "gamma": to("float", 1.0, "algorithm.gamma"),
    "micro_train_batch_size": dropped("int", 4, _ROWS),
    "train_batch_size": to("int", 128, "algorithm.optimizer_steps", "optimizer.warmup_steps"),
    "normalize_reward": to("switch", False, "reward.normalize"),
    "top_p": to("float", 1.0, "rollout.top_p"),
    "temperature": to("float", 1.0, "rollout.temperature"),
    "seed": to("int", 42, "run.seed"),
    "full_determinism": dropped("switch", False, "samples depend on run.seed, the prompt and their number alone"),
    "freezing_actor_steps": to("int", -1, "critic.warmup_steps"),
    "n_samples_per_prompt": to("int", 1, "algorithm.samples_per_prompt", "algorithm.optimizer_steps", "optimizer.warmup_steps"),
    "save_value_network": dropped("switch", False, "the critic is in every checkpoint"),
    "actor_learning_rate": to("float", 1e-6, "optimizer.learning_rate"),
    "critic_learning_rate": to("float", 9e-6, "critic.learning_rate"),
    "lr_warmup_ratio": to("float", 0.03, "optimizer.warmup_steps"),
    "kl_target": to("float", None, "algorithm.kl.target"),
    "kl_horizon": to("int", 10000, "algorithm.kl.horizon"),
    "init_kl_coef": to("float", 0.01, "algorithm.kl.coefficient", "algorithm.kl.target"),
    "kl_estimator": to("text", "k1", "algorithm.kl.estimator", choices=("k1", "k2", "k3")),
    "aux_loss_coef": missed("float", 0.0, "there are no mixtures of experts"),
    "entropy_loss_coef": to("float", 0.0, "algorithm.entropy_coefficient"),
    "adam_betas": to("float", [0.9, 0.95], "optimizer.beta1", "optimizer.beta2", values="pair"),
    "reward_clip_range": to("float", [-10.0, 10.0], "algorithm.reward_clip", values="pair"),
    "freeze_prefix": to("text", None, "model.freeze", values="many"),
    "processor_kwargs": to("text", None, "data.min_pixels", "data.max_pixels"),
    "advantage_estimator": to("text", "gae", "algorithm.name", "algorithm.whitening", "critic.path", choices=ESTIMATORS),
    "use_kl_loss": to("switch", False, "algorithm.kl.place"),
    "no_advantage_std_norm": to("switch", False, "algorithm.whitening"),
    "ring_attn_size": dropped("int", 1, "long rows are split over layout.tensor ranks; the result is the same"),
    "ring_head_stride": dropped("int", 1, "goes with --ring_attn_size"),
    # models and rewards
    "pretrain": to("text", None, "model.path"),
    "reward_pretrain": to("text", None, "reward.models", "reward.weights"),
    "remote_rm_url": to("text", None, "reward.weights", "reward.function", "reward.remote.urls"),
    "critic_pretrain": to("text", None, "critic.path"),
    "value_head_prefix": dropped("text", "score", "the critic's head is new and begins at zero"),
    "ref_reward_offload": dropped("switch", False, _REFERENCE),
    "custom_experience_filter": missed("text", None, "no function filters; algorithm.dynamic_sampling replaces groups of equal rewards"),
    # data
    "prompt_data": to("text", None, "data.train"),
    "prompt_data_probs": to("text", None, "data.probabilities"),
    "prompt_split": to("text", "train", "data.train"),
    "eval_dataset": to("text", None, "data.eval", "run.eval_every"),
    "eval_split": to("text", "test", "data.eval"),
    "eval_temperature": dropped("float", 0.6, "held-out answers are sampled at rollout.temperature, and once greedily"),
    "eval_n_samples_per_prompt": to("int", 4, "run.eval_samples"),
    "input_key": to("text", "input", "data.input_key"),
    "label_key": to("text", None, "data.label_key"),
    "input_template": missed("text", None, "the model's chat template is used: put the words into the rows or data.system_prompt"),
    "apply_chat_template": dropped("switch", False, "the model's chat template is always used"),
    # trackers and the rest
    "use_wandb": to("text", None, "run.trackers"),
    "wandb_org": dropped("text", None, f"{_ENVIRONMENT} WANDB_ENTITY"),
    "wandb_group": dropped("text", None, f"{_ENVIRONMENT} WANDB_RUN_GROUP"),
    "wandb_project": dropped("text", "openrlhf_train_ppo", f"{_ENVIRONMENT} WANDB_PROJECT"),
    "wandb_run_name": dropped("text", None, "a run is named as its folder"),
    "use_tensorboard": to("text", None, "run.trackers"),
    "perf": dropped("switch", False, "not read there; perf/* and time/* are always measured"),
    "use_ms": dropped("switch", False, "models are folders on disk, data files or `hub:OWNER/NAME`"),
}
