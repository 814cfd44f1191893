"""The flags with dots of OpenRLHF since 2026: all are known, and a command becomes the settings that were worked out by hand."""

import shlex

import pytest

from lmm_r1_mega.config.reading import parse_tree, setting_names
from lmm_r1_mega.migration.flags import ADDED, FLAGS, RENAMED
from lmm_r1_mega.migration.mapping import Migration, migrate
from lmm_r1_mega.migration.source import from_flags, from_script

NAMES = """
actor.adam.betas actor.adam.eps actor.adam.lr actor.adam.weight_decay actor.aux_loss_coef actor.dual_clip actor.entropy_coef
actor.eps_clip actor.eps_clip_low_high actor.freeze_visual_encoder actor.gradient_checkpointing_enable
actor.gradient_checkpointing_reentrant actor.lr_scheduler actor.lr_warmup_ratio actor.max_norm actor.min_lr_ratio
actor.model_name_or_path actor.muon.lr actor.muon.momentum actor.muon.nesterov actor.muon.no_nesterov actor.muon.ns_steps
actor.num_gpus_per_node actor.num_nodes actor.optim actor.policy_loss_type algo.advantage.estimator algo.advantage.gamma
algo.advantage.is_correction_enable algo.advantage.is_correction_threshold algo.advantage.is_correction_type
algo.advantage.lambd algo.advantage.no_std_norm algo.dynamic_filtering_enable algo.dynamic_filtering_range algo.kl.estimator
algo.kl.horizon algo.kl.init_coef algo.kl.target algo.kl.use_loss ckpt.best_metric_key ckpt.disable_ds ckpt.load_enable
ckpt.max_mem ckpt.max_num ckpt.output_dir ckpt.path ckpt.save_hf ckpt.save_steps critic.adam.betas critic.adam.eps
critic.adam.lr critic.adam.weight_decay critic.freezing_steps critic.lr_scheduler critic.lr_warmup_ratio critic.max_norm
critic.min_lr_ratio critic.model_name_or_path critic.muon.lr critic.muon.momentum critic.muon.nesterov critic.muon.no_nesterov
critic.muon.ns_steps critic.num_gpus_per_node critic.num_nodes critic.optim critic.save_value_network critic.value_clip
data.apply_chat_template data.dataloader_num_workers data.disable_fast_tokenizer data.image_key data.input_key
data.input_template data.label_key data.max_images_per_prompt data.max_len data.max_samples data.prompt_dataset
data.prompt_probs data.prompt_split ds.adam_offload ds.attn_implementation ds.deepcompile ds.enable_sleep
ds.experts_implementation ds.grad_accum_dtype ds.load_in_4bit ds.lora.alpha ds.lora.dropout ds.lora.rank ds.lora.target_modules
ds.overlap_comm ds.packing_samples ds.param_dtype ds.ring_attn_head_stride ds.ring_attn_size ds.tensor_parallel_size
ds.use_liger_kernel ds.use_universal_ckpt ds.value_head_prefix ds.zero_stage ds.zpg eval.dataset eval.n_samples_per_prompt
eval.split eval.steps eval.temperature logger.logging_steps logger.tensorboard_dir logger.wandb.group logger.wandb.key
logger.wandb.org logger.wandb.project logger.wandb.run_name ref.num_gpus_per_node ref.num_nodes ref.offload reward.clip_range
reward.model_name_or_path reward.normalize_enable reward.num_gpus_per_node reward.num_nodes reward.offload
reward.overlong_buffer_len reward.overlong_penalty_factor reward.remote_url reward.stop_properly_penalty_coef rollout.batch_size
rollout.max_new_tokens rollout.max_tokens_per_gpu rollout.micro_batch_size rollout.n_samples_per_prompt rollout.temperature
rollout.top_p rollout.vllm_generate_batch_size train.agent_func_path train.async_enable train.async_queue_size train.batch_size
train.colocate_actor_ref train.colocate_all train.colocate_critic_reward train.dynamic_batch_enable train.ema_beta
train.enable_ema train.full_determinism_enable train.max_epochs train.max_tokens_per_gpu train.micro_batch_size
train.num_episodes train.partial_rollout_enable train.seed vllm.enable_prefix_caching vllm.enable_sleep vllm.enforce_eager
vllm.gpu_memory_utilization vllm.num_engines vllm.sync_backend vllm.sync_with_ray vllm.tensor_parallel_size
"""
"""Of its argument parser of August 2026, without --local_rank and --use_ms."""
PLAIN = shlex.split(
    "--actor.model_name_or_path m --data.prompt_dataset a.jsonl --rollout.batch_size 64 --rollout.n_samples_per_prompt 8 "
    "--reward.remote_url http://127.0.0.1:5000/get_reward --algo.advantage.estimator reinforce_baseline"
)
BESIDE = {
    "algo.advantage.is_correction_threshold": ["--algo.advantage.is_correction_enable"],
    "algo.advantage.is_correction_type": ["--algo.advantage.is_correction_enable"],
    "reward.overlong_buffer_len": ["--rollout.max_new_tokens", "1024"],
    "reward.overlong_penalty_factor": ["--reward.overlong_buffer_len", "100"],
    "rollout.max_new_tokens": ["--reward.overlong_buffer_len", "100"],
}
"""What has to be said beside a flag that counts in some runs only."""
VALUES = {
    "data.max_len": ["16384"],
    "rollout.max_new_tokens": ["9000"],
    "actor.eps_clip_low_high": ["0.1", "0.3"],
    "actor.dual_clip": ["3"],
    "actor.policy_loss_type": ["gspo"],
    "actor.lr_scheduler": ["linear"],
    "ds.tensor_parallel_size": ["2"],
    "algo.advantage.is_correction_threshold": ["0.2", "3"],
    "algo.advantage.is_correction_type": ["icepop"],
}


def migrated(words: list[str]) -> Migration:
    return migrate(from_flags(words).values, num_rows=10_000)


def test_every_flag_is_known_and_becomes_a_setting_or_has_a_reason():
    assert sorted(RENAMED.keys() | ADDED.keys()) == NAMES.split()
    assert set(RENAMED.values()) <= FLAGS.keys()
    assert all(bool(flag.settings) != bool(flag.reason) for flag in ADDED.values())
    assert {name for flag in ADDED.values() for name in flag.settings} <= set(setting_names())


@pytest.mark.parametrize("name", [name for name, flag in ADDED.items() if flag.settings])
def test_an_added_flag_moves_its_settings_and_no_others(name):
    value = VALUES.get(name, [] if ADDED[name].kind == "switch" else ["0.5"])
    before = migrated([*PLAIN, *BESIDE.get(name, [])]).settings
    after = migrated([*PLAIN, *BESIDE.get(name, []), f"--{name}", *value])
    moved = {key for key in before.keys() | after.settings.keys() if before.get(key) != after.settings.get(key)}
    assert moved and moved <= set(ADDED[name].settings)
    parse_tree(after.tree, source="the test")


@pytest.mark.parametrize("name", [name for name, flag in ADDED.items() if flag.reason and name != "train.agent_func_path"])
def test_a_flag_without_counterpart_moves_nothing_and_is_named(name):
    flag = ADDED[name]
    value = [] if flag.kind == "switch" else ["7"] * (2 if flag.values == "pair" else 1)
    before, after = migrated(PLAIN), migrated([*PLAIN, f"--{name}", *value])
    assert before.settings == after.settings
    assert (after.missed if flag.is_missed else after.dropped)[name] == flag.reason


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ("--actor.adam.lr 5e-7 --train.batch_size 32", "--actor_learning_rate 5e-7 --train_batch_size 32"),
        ("--algo.kl.init_coef 1e-4 --algo.kl.use_loss --algo.kl.estimator k2", "--init_kl_coef 1e-4 --use_kl_loss --kl_estimator k2"),
        ("--vllm.num_engines 4 --vllm.tensor_parallel_size 2", "--vllm_num_engines 4 --vllm_tensor_parallel_size 2"),
        ("--train.colocate_all --actor.num_gpus_per_node 4", "--colocate_all_models --actor_num_gpus_per_node 4"),
        ("--ckpt.output_dir out --ckpt.save_steps 5 --logger.wandb.key x", "--save_path out --save_steps 5 --use_wandb x"),
        ("--critic.value_clip 0.2 --reward.clip_range -1 1", "--value_clip 0.2 --reward_clip_range -1 1"),
    ],
)
def test_a_renamed_flag_means_what_the_older_one_does(newer, older):
    base, plain = (
        migrated(PLAIN).settings,
        shlex.split(
            "--pretrain m --prompt_data a.jsonl --rollout_batch_size 64 --n_samples_per_prompt 8 "
            "--remote_rm_url http://127.0.0.1:5000/get_reward --advantage_estimator reinforce_baseline"
        ),
    )
    old_base = migrated(plain).settings
    new, old = migrated([*PLAIN, *newer.split()]).settings, migrated([*plain, *older.split()]).settings
    changed = {key: value for key, value in old.items() if old_base.get(key) != value}
    assert changed and {key: new[key] for key in changed} == changed
    assert {key for key in new if base.get(key) != new[key]} - {"critic.value_clip"} <= changed.keys()


DAPO = """
set -x
MODEL=models/Q-7B ; DATA=${DATA_DIR:-data}/math.jsonl
ARGS=(
  --actor.model_name_or_path $MODEL --data.prompt_dataset "$DATA" --data.input_key prompt --data.label_key label
  --reward.remote_url rewards/math.py                      # a file of one's own
)
ARGS+=(--rollout.batch_size 128 --rollout.n_samples_per_prompt 8 --train.batch_size 1024 --data.max_len 10240 --rollout.max_new_tokens 8192)
ARGS+=(--algo.advantage.estimator group_norm --algo.kl.init_coef 0 --actor.eps_clip_low_high 0.2 0.28 --actor.adam.lr 5e-7)
ARGS+=(--algo.dynamic_filtering_enable --algo.dynamic_filtering_range 0 1 --ds.zero_stage 3 --vllm.num_engines 8 --train.colocate_all)
ARGS+=(--reward.overlong_buffer_len 2048 --reward.overlong_penalty_factor 0.5)
ARGS+=(--algo.advantage.is_correction_enable --algo.advantage.is_correction_type icepop)
ARGS+=(--logger.wandb.key '' --ckpt.output_dir ckpt/dapo)
ray job submit --address="http://127.0.0.1:8265" --runtime-env-json='{"working_dir": "/openrlhf"}' \\
  -- python3 -m openrlhf.cli.train_ppo_ray "${ARGS[@]}"
"""


def test_dapo_by_hand():
    source = from_script(DAPO, {})
    found = migrate(source.values, num_rows=12_800)
    config = parse_tree(found.tree, source="the test")
    algorithm = config.algorithm
    assert (str(config.model.path), str(config.data.train[0]), config.data.label_key) == ("models/Q-7B", "data/math.jsonl", "label")
    assert (algorithm.name, algorithm.clip_low, algorithm.clip_high, algorithm.kl.coefficient) == ("grpo", 0.2, 0.28, 0)
    assert (algorithm.dynamic_sampling.enabled, algorithm.importance_bounds, algorithm.optimizer_steps) == (True, (0.5, 5.0), 1)
    assert (config.data.max_prompt_tokens, config.rollout.max_response_tokens, config.layout.max_tokens_per_microbatch) == (
        10240,
        8192,
        18432,
    )
    assert (config.reward.overlong, config.reward.weights) == ((6144, 8192), {"function": 1.0, "overlong": 0.5})
    assert (config.optimizer.learning_rate, config.optimizer.schedule, config.optimizer.final_ratio) == (5e-7, "cosine", 0.1)
    assert (config.model.precision, config.run.trackers, config.critic.value_clip, config.run.steps) == ("bf16", (), 0.5, 100)
    assert not found.missed and source.values.strange == ()


def test_an_agent_is_nobodys_rule():
    with pytest.raises(ValueError, match=r"--train.agent_func_path: agents are not run here: write what it pays as reward_func"):
        migrated([*PLAIN, "--train.agent_func_path", "agent.py"])
