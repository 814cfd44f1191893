"""Every flag of `train_ppo_ray` does what its row says, and shipped recipes become the settings that were worked out by hand."""

import shlex
from pathlib import Path

import pytest

from lmm_r1_mega import cli
from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.config.reading import parse_tree, read_config, setting_names
from lmm_r1_mega.migration.flags import FLAGS
from lmm_r1_mega.migration.mapping import Migration, migrate
from lmm_r1_mega.migration.source import from_flags, from_script
from lmm_r1_mega.rewards.components import component_weights

RICH = shlex.split(
    "--pretrain m --prompt_data a.jsonl,b.jsonl --eval_dataset e.jsonl --n_samples_per_prompt 8 --rollout_batch_size 64 "
    "--remote_rm_url http://127.0.0.1:5000/get_reward --vllm_num_engines 8 --advantage_estimator reinforce_baseline"
)
"""A run that has a use for every flag."""
NUM_ROWS = 10_000
ALL_FLAGS = """
actor_init_on_gpu actor_learning_rate actor_num_gpus_per_node actor_num_nodes adam_betas adam_offload advantage_estimator
apply_chat_template aux_loss_coef bf16 ckpt_path colocate_actor_ref colocate_all_models colocate_critic_reward
critic_learning_rate critic_num_gpus_per_node critic_num_nodes critic_pretrain custom_experience_filter deepcompile
deepspeed_enable_sleep disable_ds_ckpt disable_fast_tokenizer ema_beta enable_ema enable_prefix_caching enforce_eager
entropy_loss_coef eps_clip eval_dataset eval_n_samples_per_prompt eval_split eval_steps eval_temperature exclude_modules
flash_attn freeze_prefix freezing_actor_steps full_determinism gamma generate_max_len grad_accum_dtype gradient_checkpointing
gradient_checkpointing_use_reentrant init_kl_coef input_key input_template kl_estimator kl_horizon kl_target l2 label_key lambd
limit_mm_per_prompt load_checkpoint load_in_4bit local_rank logging_steps lora_alpha lora_dropout lora_rank lr_warmup_ratio
max_ckpt_mem max_ckpt_num max_epochs max_global_steps max_len max_norm max_samples micro_rollout_batch_size micro_train_batch_size
n_samples_per_prompt no_advantage_std_norm normalize_reward num_episodes overlap_comm packing_samples perf pretrain
processor_kwargs prompt_data prompt_data_probs prompt_max_len prompt_split ptx_coef ref_num_gpus_per_node ref_num_nodes
ref_reward_offload remote_rm_url reward_clip_range reward_num_gpus_per_node reward_num_nodes reward_pretrain ring_attn_size
ring_head_stride rollout_batch_size save_hf_ckpt save_path save_steps save_value_network seed store_extra_buffers target_modules
temperature top_p train_batch_size use_ds_universal_ckpt use_kl_loss use_liger_kernel use_ms use_tensorboard use_wandb value_clip
value_head_prefix vllm_enable_sleep vllm_gpu_memory_utilization vllm_num_engines vllm_sync_backend vllm_sync_with_ray
vllm_tensor_parallel_size wandb_group wandb_org wandb_project wandb_run_name zero_stage zpg
"""
"""Of `openrlhf/cli/train_ppo_ray.py` of LMM-R1 at version 0.7.3a, by its argument parser."""

OTHER_VALUES = {
    "max_samples": ["1000"],
    "zero_stage": ["0"],
    "max_global_steps": ["7"],
    "train_batch_size": ["64"],
    "advantage_estimator": ["group_norm"],
    "kl_estimator": ["k2"],
    "remote_rm_url": ["my/rewards.py"],
    "prompt_data_probs": ["0.25,0.75"],
    "processor_kwargs": ['{"min_pixels": 1024, "max_pixels": 4096}'],
    "vllm_num_engines": ["4"],
    "reward_clip_range": ["-0.5", "0.5"],
    "actor_num_nodes": ["2"],
    "actor_num_gpus_per_node": ["4"],
}
"""For the flags that take no value of the kind's own: another one than the default."""
BY_KIND = {"int": ["5"], "float": ["0.5"], "text": ["other"]}
WITH_MODEL = [word for word in RICH if not word.startswith(("--remote_rm_url", "http"))] + ["--reward_pretrain", "m0"]
BESIDE = {
    "critic_pretrain": ["--advantage_estimator", "gae"],
    "gamma": ["--advantage_estimator", "gae"],
    "use_kl_loss": ["--kl_estimator", "k2"],
    "prompt_split": ["--prompt_data", "own/prompts"],
    "eval_split": ["--eval_dataset", "own/prompts"],
}
"""What has to be said beside a flag that counts in some runs only."""


def migrated(words: list[str], num_rows: int | None = NUM_ROWS, verifier: str | None = None) -> Migration:
    return migrate(from_flags(words).values, num_rows=num_rows, verifier=verifier)


def with_flag(name: str) -> list[str]:
    flag = FLAGS[name]
    value = OTHER_VALUES.get(name, [] if flag.kind == "switch" else BY_KIND[flag.kind] * (2 if flag.values == "pair" else 1))
    return [*plain(name), f"--{name}", *value]


def plain(name: str) -> list[str]:
    return [*(WITH_MODEL if name in ("reward_pretrain", "normalize_reward") else RICH), *BESIDE.get(name, [])]


def test_all_126_flags_are_mapped_or_dropped_with_a_reason():
    assert len(ALL_FLAGS.split()) == 126
    assert sorted(FLAGS) == ALL_FLAGS.split()
    assert all(bool(flag.settings) != bool(flag.reason) for flag in FLAGS.values())
    assert {name for flag in FLAGS.values() for name in flag.settings} <= set(setting_names())


@pytest.mark.parametrize("name", [name for name, flag in FLAGS.items() if flag.settings])
def test_a_mapped_flag_moves_its_settings_and_no_others(name):
    before, after = migrated(plain(name)).settings, migrated(with_flag(name)).settings
    moved = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert moved and moved <= set(FLAGS[name].settings)
    parse_tree(migrated(with_flag(name)).tree, source="the test")


@pytest.mark.parametrize("name", [name for name, flag in FLAGS.items() if flag.reason])
def test_a_dropped_flag_moves_nothing_and_is_named(name):
    before, after = migrated(plain(name)), migrated(with_flag(name))
    assert before.settings == after.settings
    assert (after.missed if FLAGS[name].is_missed else after.dropped)[name] == FLAGS[name].reason
    assert name not in before.missed | before.dropped


def test_a_flag_that_is_missed_only_where_it_was_used():
    assert migrated([*RICH, "--lora_rank", "0"]).missed == {}
    assert "lora_rank" in migrated([*RICH, "--lora_rank", "16"]).missed


FRE_TEXT = """
# facts of LMM-R1's first stage in a script of our own
DATA=./data/deepscaler.jsonl ; export MODEL="./models/Qwen2.5-VL-3B-Instruct"
export OUT=/checkpoints
python -m openrlhf.models.remote_rm.math_verifier --dataset "$DATA" &
ray job submit --address=local -- python -m openrlhf.cli.train_ppo_ray --pretrain $MODEL --prompt_data ${DATA} \\
  --actor_num_nodes 1 --actor_num_gpus_per_node 8 --vllm_num_engines 8 --vllm_tensor_parallel_size 1 --colocate_all_models \\
  --vllm_gpu_memory_utilization 0.5 --vllm_enable_sleep --enable_prefix_caching --save_path $OUT/fre --train_batch_size 256 \\
  --rollout_batch_size 256 --n_samples_per_prompt 16 --num_episodes 2 --prompt_max_len 4096 --generate_max_len 4096 \\
  --advantage_estimator reinforce_baseline --zero_stage 3 --bf16 --actor_learning_rate 4e-7 --init_kl_coef 0.001 \\
  --input_key message --label_key "answer" --gradient_checkpointing --save_steps 20 --use_wandb ${KEY} --load_checkpoint
"""


def test_fre_text_by_hand():
    source = from_script(FRE_TEXT, {"KEY": "secret"})
    found = migrate(source.values, num_rows=40_315, verifier=source.verifier)
    config = parse_tree(found.tree, source="the test")
    recipe = read_config(["examples/configs/fre_text.yaml"])
    assert str(config.model.path) == "models/Qwen2.5-VL-3B-Instruct" and str(config.run.folder) == "/checkpoints/fre"
    assert [str(path) for path in config.data.train] == ["data/deepscaler.jsonl"]
    for section in ("layout", "optimizer", "cluster"):
        assert getattr(config, section) == getattr(recipe, section)
    assert (config.run.steps, config.run.seed, config.run.save_every, config.run.trackers) == (314, 42, 20, ("wandb",))
    assert (config.algorithm.kl.coefficient, config.algorithm.kl.estimator, config.algorithm.kl.apply_to) == (1e-3, "k1", "reward")
    assert (config.algorithm.name, config.algorithm.optimizer_steps, config.algorithm.samples_per_prompt) == ("reinforce_baseline", 16, 16)
    assert config.reward == recipe.reward.model_copy(update={"workers": 2})
    assert config.rollout == recipe.rollout
    assert (config.model.precision, config.model.recompute, config.data.min_pixels) == ("bf16", "full", 3136)
    assert config.algorithm.reward_clip == (-10, 10) and not config.algorithm.bootstrap_truncated
    assert set(found.dropped) == {"vllm_enable_sleep", "load_checkpoint"} and not found.missed


def test_ppo_at_70b_by_hand():
    words = (
        "--ref_num_gpus_per_node 4 --critic_num_gpus_per_node 8 --actor_num_gpus_per_node 8 --vllm_num_engines 4 "
        "--vllm_tensor_parallel_size 2 --pretrain llama --reward_pretrain judge --train_batch_size 128 --rollout_batch_size 1024 "
        "--actor_learning_rate 5e-7 --prompt_data prompts --max_samples 100000 --adam_offload --input_key context_messages"
    )
    found = migrated(words.split(), num_rows=200_000)
    config = parse_tree(found.tree, source="the test")
    assert (config.cluster.placement, config.cluster.nodes, config.cluster.gpus_per_node) == ("disaggregated", 2, 8)
    assert (config.layout.data, config.rollout.engines, config.rollout.tensor) == (8, 4, 2)
    assert config.run.steps == 97, "100000 rows are 97 whole batches of 1024"
    assert config.optimizer.warmup_steps == 24, "3 % of 97 x 8"
    assert (config.algorithm.name, config.critic.learning_rate, config.algorithm.kl.coefficient) == ("ppo", 9e-6, 0.01)
    assert (config.rollout.gpu_memory, config.model.precision, config.run.save_every) == (0.95, "auto", 0)
    assert (config.reward.models, config.reward.weights) == ({"model_1": Path("judge")}, {"model/model_1": 1.0})
    assert not found.missed and any("cut the data" in note for note in found.notes)
    assert any("critic starts from the first reward model there" in note for note in found.notes)


def test_grpo_on_one_machine_by_hand():
    words = (
        "--actor_num_gpus_per_node 8 --vllm_num_engines 4 --vllm_tensor_parallel_size 2 --colocate_all_models --init_kl_coef 1e-3 "
        "--use_kl_loss --kl_estimator k3 --advantage_estimator group_norm --pretrain p --prompt_data d --rollout_batch_size 128 "
        "--n_samples_per_prompt 8 --remote_rm_url /x/reward_func.py --eval_dataset e.jsonl --freeze_prefix visual lm_head"
    )
    config = parse_tree(migrated(words.split(), num_rows=12_800).tree, source="the test")
    assert (config.algorithm.name, config.algorithm.aggregation, config.algorithm.optimizer_steps) == ("grpo", "token", 8)
    assert (config.algorithm.kl.apply_to, config.algorithm.kl.estimator) == ("loss", "k3")
    assert (config.run.steps, config.run.eval_every) == (100, 100), "evaluated once a pass"
    assert (str(config.reward.function), config.reward.weights) == ("/x/reward_func.py", {"function": 1.0})
    assert config.model.freeze == ("visual*", "lm_head*") and list(config.data.eval) == ["e"]


@pytest.mark.parametrize(
    ("estimator", "name", "whitening"),
    [
        ("gae", "ppo", "batch"),
        ("reinforce", "reinforce_pp", "batch"),
        ("rloo", "rloo", "batch"),
        ("reinforce_baseline", "reinforce_baseline", "batch"),
        ("group_norm", "grpo", "none"),
        ("dr_grpo", "dr_grpo", "none"),
    ],
)
def test_estimators_by_what_they_compute_there(estimator, name, whitening):
    found = migrated([*RICH, "--advantage_estimator", estimator])
    assert (found.settings["algorithm.name"], found.settings["algorithm.whitening"]) == (name, whitening)
    unscaled = migrated([*RICH, "--advantage_estimator", estimator, "--no_advantage_std_norm"])
    assert (unscaled.settings["algorithm.name"], unscaled.settings["algorithm.whitening"]) == (name, "none")
    assert any("the mean over the batch" in note for note in unscaled.notes) == (whitening == "batch")


SERVER, OTHER_SERVER = "http://127.0.0.1:5000/get_reward", "https://other/get_reward"


@pytest.mark.parametrize(
    ("words", "verifier", "expected"),
    [
        (f"--remote_rm_url {SERVER}", None, {"remote": {"urls": [SERVER]}, "weights": {"remote": 1}}),
        (f"--remote_rm_url {SERVER},{OTHER_SERVER}", None, {"remote": {"urls": [SERVER, OTHER_SERVER]}, "weights": {"remote": 1}}),
        (f"--remote_rm_url {SERVER}", "math_verifier", {"weights": {"format": 0.5, "accuracy": 1}}),
        (f"--remote_rm_url {SERVER}", "math_verifier without format", {"weights": {"accuracy": 1}}),
        (f"--remote_rm_url {SERVER}", "sokoban_verifier", {"weights": {"format": 0.5, "sokoban": 0.1, "solved": 0}}),
        ("--remote_rm_url a.py,b.py", "math_verifier", {"function": "a.py", "weights": {"function": 1}}),
        (f"--reward_pretrain rm --remote_rm_url {SERVER}", None, {"remote": {"urls": [SERVER]}, "weights": {"remote": 1}}),
        ("--reward_pretrain rm --normalize_reward", "math_verifier", {
            "models": {"model_1": "rm"}, "weights": {"model/model_1": 1}, "normalize": True,
        }),
        ("--reward_pretrain a,b", None, {
            "models": {"model_1": "a", "model_2": "b"}, "weights": {"model/model_1": 1, "model/model_2": 1},
        }),
        ("", None, {"weights": {"format": 0.5, "accuracy": 1}}),
    ],
)  # fmt: skip
def test_who_gives_the_rewards(words, verifier, expected):
    found = migrated([*shlex.split("--pretrain m --prompt_data d --rollout_batch_size 64"), *words.split()], verifier=verifier)
    reward = parse_tree(found.tree, source="the test").reward
    assert reward == RewardSettings.model_validate(expected)
    component_weights(reward)  # raises where a component is not set up
    assert not {"reward_pretrain", "normalize_reward"} & (found.missed.keys() | found.dropped.keys())


@pytest.mark.parametrize(
    ("words", "verifier", "note"),
    [
        ("--remote_rm_url a.py,b.py,c.py", None, "the first file is used alone, here as there; b.py, c.py never paid"),
        (f"--remote_rm_url {SERVER}", None, "where LMM-R1's math_verifier runs there, no server is needed"),
        (f"--remote_rm_url {SERVER}", "sokoban_verifier", "tools/make_sokoban.py writes such rows"),
        (f"--remote_rm_url {SERVER} --reward_pretrain rm", None, "no reward model scores where --remote_rm_url is given"),
        (f"--remote_rm_url {SERVER} --normalize_reward", None, "--normalize_reward: concerns reward models alone"),
        ("--reward_pretrain rm --normalize_reward", None, "there they stand in the reward model's config.json"),
        ("", None, "the command names no rewards"),
        (f"--remote_rm_url {SERVER} --eval_dataset e", None, "add accuracy with weight 0 to reward.weights"),
        ("--remote_rm_url a.py --eval_dataset e", "math_verifier", "add accuracy with weight 0 to reward.weights"),
    ],
)
def test_what_has_to_be_known_of_the_rewards_is_told(words, verifier, note):
    found = migrated([*shlex.split("--pretrain m --prompt_data d --rollout_batch_size 64"), *words.split()], verifier=verifier)
    assert sum(note in one for one in found.notes) == 1


def test_a_rule_that_pays_measures_held_out_answers_too():
    found = migrated(RICH, verifier="math_verifier")
    assert found.settings["data.eval"] and not any("--eval_dataset" in note for note in found.notes)


def test_names_of_the_hub_are_told_from_files_and_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "folder").mkdir(parents=True)
    names = "own/set@part, own/folder, own/rows.jsonl, ./own/set, /own/set, set, a/b/c"
    found = migrated([*RICH, "--prompt_data", names, "--eval_dataset", "own/set-v0.1"]).settings
    assert found["data.train"] == ["hub:own/set:train", "own/folder", "own/rows.jsonl", "./own/set", "/own/set", "set", "a/b/c"]
    assert found["data.eval"] == {"set-v0.1": "hub:own/set-v0.1:test"}


def test_a_machine_has_more_gpus_than_the_trainers_share_of_it():
    words = "--pretrain m --prompt_data d --actor_num_gpus_per_node 2 --vllm_num_engines 2 --vllm_tensor_parallel_size 2"
    cluster = parse_tree(migrated(words.split()).tree, source="the test").cluster
    assert (cluster.placement, cluster.nodes, cluster.gpus_per_node) == ("disaggregated", 1, 8)
    cluster = parse_tree(migrated([*words.split(), "--actor_num_nodes", "4"]).tree, source="the test").cluster
    assert (cluster.nodes, cluster.gpus_per_node) == (2, 8), "4 x 2 trainers and 2 x 2 of the engines"


@pytest.mark.parametrize(
    ("words", "note"),
    [
        ("--critic_pretrain other", "--critic_pretrain: its value head is not read"),
        ("--freeze_prefix visual", "--freeze_prefix: the critic is frozen with the policy here"),
        ("--prompt_data_probs 0.5", "--prompt_data_probs: a pass there lasts until each file is through"),
        ("--train_batch_size 100", "--train_batch_size 100 does not divide the 64 samples of a rollout"),
        ("--train_batch_size 24", "--train_batch_size 24 does not divide the 64 samples of a rollout"),
        ("--vllm_num_engines 4", "trainer and engines have GPUs of their own, 12 in all, on machines of 8"),
    ],
)
def test_what_differs_is_told(words, note):
    base = shlex.split("--pretrain m --prompt_data d --rollout_batch_size 64 --train_batch_size 64")
    assert not any(note in one for one in migrated(base).notes)
    assert sum(note in one for one in migrated([*base, *words.split()]).notes) == 1


COMMAND = "python3 -m openrlhf.cli.train_ppo_ray --pretrain m --remote_rm_url http://127.0.0.1:5000/get_reward\n"


@pytest.mark.parametrize(
    ("before", "verifier"),
    [
        ("python -m openrlhf.models.remote_rm.math_verifier --dataset d &", "math_verifier"),
        ("nohup python3 openrlhf/models/remote_rm/math_verifier.py --disable-format-reward > log &", "math_verifier without format"),
        ("V=sokoban; python -m remote_rm.${V}_verifier &", "sokoban_verifier"),
        ("# python -m openrlhf.models.remote_rm.math_verifier &", None),
        ("echo python -m openrlhf.models.remote_rm.math_verifier", None),
        ("if false; then python -m openrlhf.models.remote_rm.math_verifier & fi", None),
        ("pkill -f math_verifier\npython3 -m my_pkg.location_server --port 5000 &", None),
        ("pkill -f openrlhf.models.remote_rm.math_verifier", None),
        ("python -m my_pkg.math_verifier &", None),
        ("python math_verifier.py &", None),
        ("python -m openrlhf.models.remote_rm.math_verifier --port 6000 &", None),
    ],
)
def test_rules_stand_in_for_the_server_only_where_it_is_known_to_run_there(before, verifier):
    source = from_script(f"{before}\n{COMMAND}", {})
    assert source.verifier == verifier


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:5001/get_reward",
        "http://10.0.0.7:5000/get_reward",
        "http://127.0.0.1:5000/other",
        "http://127.0.0.1:5000/get_reward,http://b/",
    ],
)
def test_a_server_of_ones_own_stays_beside_a_verifier(url):
    source = from_script(
        f"python -m openrlhf.models.remote_rm.math_verifier &\n{COMMAND}".replace(
            "--remote_rm_url", f"--prompt_data d --remote_rm_url {url} --seed 1 #"
        ),
        {},
    )
    found = migrate(source.values, num_rows=NUM_ROWS, verifier=source.verifier)
    assert found.settings["reward.remote.urls"] == url.split(",") and found.settings["reward.weights"] == {"remote": 1.0}


def test_a_target_without_a_coefficient_did_nothing_there():
    target = ["--kl_target", "0.1"]
    assert migrated([*RICH, *target]).settings["algorithm.kl.target"] == 0.1
    assert migrated([*RICH, *target, "--init_kl_coef", "0"]).settings["algorithm.kl.target"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--eps_clip 0.1", "--pretrain is missing"),
        ("--eps_clip", "--eps_clip takes one value, got none"),
        ("--pretrain m", "--prompt_data is missing"),
        ("--bf16 yes", "--bf16 takes no value, got yes"),
        ("--save_path a b", "--save_path takes one value, got a b: put quotes around a value with blanks"),
        ("--use_wandb se cret", "--use_wandb takes one value, got 2 words: put quotes around a value with blanks"),
        ("--eps_clip 1 2", "--eps_clip takes one value, got 1 2"),
        ("--adam_betas 0.9", "--adam_betas takes two values, got 0.9"),
        ("--seed 1.5", "--seed 1.5: give an integer"),
        ("--gamma one", "--gamma one: give a number"),
        ("--kl_estimator k4", "--kl_estimator k4: use one of k1, k2, k3"),
        ("--pretrain m --prompt_data d --use_kl_loss", "has no gradient towards the reference: add --kl_estimator k2 or k3"),
        (
            "--pretrain m --prompt_data d",
            "run.steps follows from the rows of d, which is no file here: say how many they are with --rows N",
        ),
        (
            "--pretrain m --prompt_data d --max_global_steps 3 --eval_dataset e.jsonl",
            "run.eval_every follows from the rows of d, which is no file here: say how many they are with --rows N, or the steps between",
        ),
        ("--pretrain m --prompt_data d --rows 9999 --eval_dataset a/e.jsonl,b/e.jsonl", "a/e.jsonl and b/e.jsonl have the same name"),
        ("--pretrain m --prompt_data d --rows 10", "10 rows are less than one --rollout_batch_size of 1024"),
        ("--pretrain m --prompt_data d --rows many", "--rows many: give the number of rows"),
        ("--pretrain m --prompt_data d --rows 9999 --prompt_data_probs half", "--prompt_data_probs half: give numbers with commas"),
        ("--pretrain m --prompt_data d --rows 9999 --processor_kwargs [4]", "--processor_kwargs [4]: give a JSON object"),
        ("--pretrain m --prompt_data d --rows 9999 --processor_kwargs min", "--processor_kwargs min: give a JSON object"),
        ("", "usage: lmm-r1-mega migrate"),
        ("gone.sh", "gone.sh is no script that can be read"),
    ],
)
def test_what_cannot_be_migrated_is_a_message(words, message, capsys):
    assert cli.main(["migrate", *words.split()]) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.startswith("lmm-r1-mega: ")


def test_the_written_file_is_read_back_and_has_no_key(tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"message": "[]"}\n' * 600, encoding="utf-8")
    script = tmp_path / "train.sh"
    script.write_text(FRE_TEXT.replace("./data/deepscaler.jsonl", str(rows)).replace("${KEY}", "se-cr-et"), encoding="utf-8")
    assert cli.main(["migrate", str(script)]) == 0
    printed = capsys.readouterr().out
    assert "se-cr-et" not in printed
    written = tmp_path / "run.yaml"
    written.write_text(printed, encoding="utf-8")
    config = read_config([str(written)])
    assert config.run.steps == 4, "600 rows are two whole batches of 256, visited twice"
    assert "#   --load_checkpoint: `lmm-r1-mega resume RUN` goes on with a run" in printed.splitlines()


def test_a_cut_command_and_an_empty_value_are_told(tmp_path, capsys):
    script = tmp_path / "train.sh"
    script.write_text(
        "python3 -m openrlhf.cli.train_ppo_ray --pretrain m --prompt_data d --use_wandb '' --max_global_steps 3 \\\n"
        "  # --seed 1 \\\n  --gamma 0.5\n",
        encoding="utf-8",
    )
    assert cli.main(["migrate", str(script)]) == 0
    printed = capsys.readouterr().out
    assert "#   line 3 is not part of the command" in printed and "#   --use_wandb is empty and counts as not given" in printed
    assert "gamma: 1.0" in printed and "trackers: []" in printed


def test_unknown_flags_are_listed_together_and_the_rest_is_written(capsys):
    words = [*RICH, "--rows", "640", "--foo", "1", "2", "--attention", "eager", "--n-samples-per-prompt", "4", "--seed", "7"]
    assert cli.main(["migrate", *words]) == 0
    captured = capsys.readouterr()
    names = "--foo, --attention, --n-samples-per-prompt (did you mean --n_samples_per_prompt?)"
    assert captured.err == f"lmm-r1-mega: left out, for train_ppo_ray has no such flags: {names}\n"
    assert "seed: 7" in captured.out and "samples_per_prompt: 8" in captured.out


def test_a_beginning_that_no_other_flag_has_is_that_flag():
    assert migrated([*RICH, "--train_batch", "64"]).settings == migrated([*RICH, "--train_batch_size", "64"]).settings
    assert from_flags(["--vllm", "1"]).values.strange == ("vllm",), "several flags begin so"


def test_arguments_of_the_script_stand_behind_its_name(tmp_path, capsys):
    script = tmp_path / "train.sh"
    script.write_text(
        'python3 -m openrlhf.cli.train_ppo_ray --pretrain "$1" --prompt_data d --max_global_steps ${2:-3} "${@:3}"\n', encoding="utf-8"
    )
    assert cli.main(["migrate", str(script), "my model", "5", "--seed", "9"]) == 0
    printed = capsys.readouterr().out
    assert "path: my model" in printed and "steps: 5" in printed and "seed: 9" in printed
    assert cli.main(["migrate", str(script)]) == 2
    assert (
        "train.sh, line 1: --pretrain: the script was given no argument $1 (line 1): name its arguments behind it"
        in capsys.readouterr().err
    )


def test_a_flag_without_counterpart_is_told_on_the_error_stream(capsys):
    assert cli.main(["migrate", *RICH, "--rows", "640", "--lora_rank", "8"]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("lmm-r1-mega: --lora_rank changes the run and has no counterpart: ")
    assert "# Changes the run, and has no counterpart:\n#   --lora_rank: " in captured.out
