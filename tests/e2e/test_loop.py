"""Every algorithm through the real loop: Megatron ranks, vLLM engines and reward workers under Ray."""

import json
import math
from contextlib import ExitStack, nullcontext
from pathlib import Path

import pytest
import torch

from lmm_r1_mega.algorithms.controllers import make_controllers
from lmm_r1_mega.algorithms.table import ALGORITHMS
from lmm_r1_mega.cluster.engines import RolloutEngines
from lmm_r1_mega.cluster.placement import place_processes
from lmm_r1_mega.cluster.reward_models import RewardModels
from lmm_r1_mega.cluster.session import ray_session
from lmm_r1_mega.cluster.trainers import Trainers
from lmm_r1_mega.config import Config, RewardSettings
from lmm_r1_mega.config.reading import merge, parse_tree, to_yaml
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.stream.files import PromptFile
from lmm_r1_mega.data.stream.stream import PromptStream
from lmm_r1_mega.driver.evaluate import evaluate
from lmm_r1_mega.driver.rollouts import IN_FLIGHT_FILE, Rollouts
from lmm_r1_mega.driver.run import Run, load_models, restore
from lmm_r1_mega.driver.unscored import trial_samples, try_reward_models, try_text_rewards
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.models.reward_model import RewardModel
from lmm_r1_mega.planning.checks import gpus_needed
from lmm_r1_mega.record.completions import write_completions
from lmm_r1_mega.record.folder import Checkpoint, RunFolder
from lmm_r1_mega.record.run_logger import open_run_logger
from lmm_r1_mega.rewards.total import rewards_of
from lmm_r1_mega.rewards.workers.pool import RewardPool
from lmm_r1_mega.rollout.engine import Sampling
from lmm_r1_mega.schema import Completion, Sample, Scored
from lmm_r1_mega.train import run_steps

KL_IN_REWARD = {"coefficient": 0.05, "apply_to": "reward", "estimator": "k1"}
KL_IN_LOSS = {"coefficient": 0.05, "apply_to": "loss", "target": 0.1, "importance_weighted": True}
VARIANTS = {
    "ppo": {"kl": KL_IN_REWARD, "lam": 0.95, "epochs": 2},
    "grpo": {"kl": KL_IN_LOSS},
    "dr_grpo": {"entropy_coefficient": 0.01, "optimizer_steps": 1},
    "rloo": {"importance_cap": 2.0, "policy_loss": "gspo", "importance_level": "sequence"},
    "reinforce": {"gamma": 0.99, "dual_clip": 3.0, "old_logprobs": "rollout"},
    "reinforce_pp": {"kl": KL_IN_REWARD, "policy_loss": "cispo", "importance_bounds": [0.5, 5.0]},
    "reinforce_baseline": {"clip_high": 0.28, "whitening": "group", "entropy_coefficient": 0.01, "entropy_target": 9.0},
}


class Processes:
    """Two trainer ranks and two engines that all tests of this file share; five prompts a step are uneven over the engines."""

    def __init__(self, base: dict, stack: ExitStack) -> None:
        self.base = merge(
            base,
            {
                "layout": {"tensor": 2},
                "rollout": {"engines": 2},
                "algorithm": {"prompts_per_step": 5},
                "critic": {"normalize_returns": True},
                "run": {"steps": 3, "save_every": 0},
            },
        )
        config = parse_tree(self.base, source="test")
        stack.enter_context(ray_session(config.cluster, num_processes=gpus_needed(config, num_trainers=2)))
        self.rewards = rewards_of(config.reward, stack.enter_context(RewardPool(config.reward)))
        self.processor = Processor.load(config.model.path, min_pixels=3136, max_pixels=3136)
        self.placement = place_processes(config, num_trainers=2)
        self.engines = RolloutEngines(config, self.placement, config.model.path, max_images=1)
        self.trainers = Trainers(config, self.placement)
        self.engines.wait_until_ready()

    def run(self, folder: Path, changes: dict, *, resume: Checkpoint | None = None) -> list[dict]:
        """Three steps from the random model on, or those after a checkpoint; the metrics of all."""
        config: Config = parse_tree(merge(merge(self.base, changes), {"run": {"folder": str(folder)}}), source="test")
        load_models(config, self.trainers)
        with open_run_logger(config, to_yaml(config), verb="train", resume_after=resume.step if resume else None) as book:
            prompts = PromptStream(config.data, self.processor, seed=0)
            run = Run(
                config,
                book,
                Rollouts(config, prompts, self.engines, self.rewards, phase=book.phase),
                {},
                self.rewards,
                self.trainers,
                self.engines,
                make_controllers(config),
                self.processor.forbidden_ids,
                self.processor.spec.merge_size,
            )
            if resume:
                restore(run, resume)
                book.go_on(config, to_yaml(config), after=resume.step)
            self.trainers.publish(self.engines.actors, version=run.first_step)
            run_steps(run)
        return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]

    def second_answers(self) -> list[str]:
        """What the random model says in the second step, with nothing else going on."""
        config = parse_tree(self.base, source="test")
        load_models(config, self.trainers)
        self.trainers.publish(self.engines.actors, version=0)
        prompts = PromptStream(config.data, self.processor, seed=0).take(10)[5:]
        return [one.completion.text for one in self.engines.generate(prompts, samples=4, sampling=Sampling.of(config.rollout), seed=1)]


@pytest.fixture(scope="module")
def processes(settings):
    with ExitStack() as stack:
        yield Processes(settings, stack)


def test_every_algorithm_has_a_variant_here():
    assert set(VARIANTS) == set(ALGORITHMS)


@pytest.mark.parametrize("name", VARIANTS)
def test_three_steps(processes, tmp_path, name):
    rows = processes.run(tmp_path / "run", {"algorithm": {"name": name, **VARIANTS[name]}})
    assert [row["step"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert row["samples/dispatched"] == 20 == row["samples/trained"] + row["samples/invalid"]
        assert row["mismatch/abs_max"] < 1e-4, rows
        assert math.isfinite(row["loss"]) and row["grad_norm"] > 0
        assert row["ratio/min"] <= row["ratio/mean"] <= row["ratio/max"] and 0 < row["ratio/ess"] <= 1
        assert row["perf/update_tflops_per_rank"] > 0 and 0 < row["perf/utilization/update"] < 1
    samples = [json.loads(line) for line in (tmp_path / "run" / "rollouts.jsonl").read_text().splitlines()]
    assert all((tmp_path / "run" / image).is_file() for sample in samples for image in sample["images"])
    assert all(len(sample["images"]) == sample["prompt"].count("<|image_pad|>") for sample in samples)
    assert rows[0]["kl"] == 0, "the reference is the policy before the first step"
    assert ("critic/loss" in rows[0]) == (name == "ppo")
    if name == "dr_grpo":  # one update a step: its own forward pass gives the old log-probabilities
        assert [row["ratio/mean"] for row in rows] == [1.0, 1.0, 1.0]
    if "entropy_target" in VARIANTS[name]:  # far above what a vocabulary of this size can have
        assert 0.01 == rows[0]["entropy_coefficient"] < rows[1]["entropy_coefficient"] < rows[2]["entropy_coefficient"]
    if "kl" in VARIANTS[name]:
        assert rows[1]["kl"] != 0


def test_groups_without_variance_are_replaced(processes, tmp_path):
    dynamic = {"enabled": True, "oversampling": 1.2, "max_refills": 3}
    rows = processes.run(tmp_path / "run", {"algorithm": {"dynamic_sampling": dynamic, "samples_per_prompt": 2}})
    for row in rows:
        whole, rest = divmod(row["samples/dispatched"], 2)
        assert rest == 0 and whole >= 6, "5 groups x 1.2 at first"
        assert row["samples/trained"] == 10
        assert row["frac_reward_zero_std"] == 0
        assert row["samples/dispatched"] == row["samples/trained"] + row["samples/no_variance"] + row["samples/left_over"]
        assert row["dynamic_sampling/generated_per_trained"] == row["samples/dispatched"] / 10
        assert row["staleness/max"] == 0 and row["mismatch/abs_max"] < 1e-4
    assert sum(row["samples/no_variance"] for row in rows) > 0
    assert sum(row["dynamic_sampling/refills"] for row in rows) > 0


def test_generation_one_step_ahead(processes, tmp_path):
    rows = processes.run(tmp_path / "run", {"rollout": {"max_staleness": 1}, "algorithm": {"importance_cap": 2.0}})
    assert [row["samples/dispatched"] for row in rows] == [40, 20, 0]
    assert [row["samples/in_flight"] for row in rows] == [20, 20, 0]
    assert [row["samples/trained"] for row in rows] == [20, 20, 20]
    assert [row["staleness/max"] for row in rows] == [0, 1, 1]
    drift = [row["mismatch/abs_max"] for row in rows]
    assert drift[0] < 1e-4 < min(drift[1:]), "later samples come from weights of the step before"
    recorded = [row["response"] for row in untimed(tmp_path / "run" / "rollouts.jsonl") if row["step"] == 2]
    assert recorded == processes.second_answers()[: len(recorded)], "not one token is of newer weights"


def test_refills_of_a_run_that_is_ahead_are_of_the_weights_that_learn(processes, tmp_path):
    dynamic = {"enabled": True, "max_refills": 3}
    rows = processes.run(
        tmp_path / "run", {"rollout": {"max_staleness": 1}, "algorithm": {"dynamic_sampling": dynamic, "samples_per_prompt": 2}}
    )
    before = 0
    for row in rows:
        gone = row["samples/trained"] + row["samples/no_variance"] + row["samples/left_over"]
        assert before + row["samples/dispatched"] == gone + row["samples/in_flight"]
        before = row["samples/in_flight"]
    refilled = [row for row in rows[1:] if row["dynamic_sampling/refills"]]
    assert refilled and all(0 < row["staleness/mean"] < 1 for row in refilled), "some of the step before, some of this"


def test_nothing_to_train_ends_the_run_with_advice(processes, tmp_path):
    never = {"reward_clip": [-10.0, -9.0], "dynamic_sampling": {"enabled": True, "max_refills": 1}}
    with pytest.raises(BadData, match=r"step 1: 0 of 10 groups .* after 1 refills: .* or set algorithm.dynamic_sampling.enabled to false"):
        processes.run(tmp_path / "run", {"algorithm": never})


@pytest.mark.parametrize(("ahead", "dynamic"), [(0, True), (1, True), pytest.param(1, False, marks=pytest.mark.slow)])
def test_resumed_equals_unbroken(processes, tmp_path, ahead, dynamic):
    changes = {
        "rollout": {"max_staleness": ahead},
        "algorithm": {"samples_per_prompt": 2, "dynamic_sampling": {"enabled": dynamic, "oversampling": 1.2, "max_refills": 3}},
        "run": {"steps": 4, "save_every": 2, "keep_checkpoints": 2},
    }
    folder, files = tmp_path / "run", ("metrics.jsonl", "rollouts.jsonl")
    processes.run(folder, changes)
    unbroken = {name: untimed(folder / name) for name in files}
    processes.trainers.export_hf(tmp_path / "unbroken")
    after_two = RunFolder.open(folder).checkpoints / "step_000002"
    assert (after_two / IN_FLIGHT_FILE).exists() == bool(ahead)
    processes.run(folder, changes, resume=Checkpoint(2, after_two))
    processes.trainers.export_hf(tmp_path / "resumed")
    assert {name: untimed(folder / name) for name in files} == unbroken
    assert (tmp_path / "resumed" / "model.safetensors").read_bytes() == (tmp_path / "unbroken" / "model.safetensors").read_bytes()


def test_a_restore_that_fails_leaves_the_record_as_it_was(processes, tmp_path):
    changes = {"run": {"steps": 2, "save_every": 1, "keep_checkpoints": 2}}
    folder = tmp_path / "run"
    processes.run(folder, changes)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    first = Checkpoint(1, RunFolder.open(folder).checkpoints / "step_000001")
    with pytest.raises(BadData, match=r"the rows of data.train are not those of the checkpoint"):
        processes.run(folder, {**changes, "data": {"system_prompt": "Think."}}, resume=first)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_samples_in_flight_are_taken_back_with_their_prompts_only(processes, tmp_path):
    def rollouts(samples: int, ahead: int) -> Rollouts:
        changes = {"rollout": {"max_staleness": ahead}, "algorithm": {"samples_per_prompt": samples}}
        config = parse_tree(merge(processes.base, changes), source="test")
        stream = PromptStream(config.data, processes.processor, seed=0)
        return Rollouts(config, stream, processes.engines, processes.rewards, phase=lambda name: nullcontext())

    stream = PromptStream(parse_tree(processes.base, source="test").data, processes.processor, seed=0)
    position, prompts = stream.position(), stream.take(6)
    completions = [Completion(one.expanded_ids, torch.tensor([5]), torch.zeros(1), "five", "stop", 0) for one in prompts for _ in range(3)]
    write_completions(tmp_path / IN_FLIGHT_FILE, completions)
    right = rollouts(3, 1)
    right.restore(position, tmp_path)
    (tmp_path / "again").mkdir()
    right.save(tmp_path / "again")
    assert right.position() == position
    assert (tmp_path / "again" / IN_FLIGHT_FILE).read_bytes() == (tmp_path / IN_FLIGHT_FILE).read_bytes()
    with pytest.raises(
        BadData, match=r"18 samples in flight that are not 2 for each of the next prompts: resume with algorithm.samples_per"
    ):
        rollouts(2, 1).restore(position, tmp_path)
    other_groups = rollouts(2, 1)
    other_groups.restore(position, tmp_path, allow_change=True)
    other_groups.save(tmp_path / "nowhere")
    assert other_groups.position() == position
    no_longer_ahead = rollouts(2, 0)
    no_longer_ahead.restore(position, tmp_path)
    no_longer_ahead.save(tmp_path / "nowhere")  # there is nothing to write
    assert no_longer_ahead.position() == position


FORGETFUL = """import pathlib
def reward_func(queries, prompts, labels):
    if pathlib.Path(__file__).with_suffix(".broken").exists():
        raise KeyError("gone")
    return [float(len(query)) for query in queries]
"""


def test_a_reward_that_fails_on_the_way_ends_the_run(processes, tmp_path):
    (tmp_path / "reward.py").write_text(FORGETFUL)
    changes = {"reward": {"function": str(tmp_path / "reward.py")}, "run": {"steps": 9, "folder": str(tmp_path / "run")}}
    config = parse_tree(merge(processes.base, changes), source="test")
    stream = PromptStream(config.data, processes.processor, seed=0)
    with RewardPool(config.reward) as pool:
        try_text_rewards(config.reward, pool, trial_samples(stream, pool))
        load_models(config, processes.trainers)
        rollouts = Rollouts(config, stream, processes.engines, rewards_of(config.reward, pool), phase=lambda name: nullcontext())

        def take(step: int) -> list[Scored]:
            processes.trainers.publish(processes.engines.actors, version=step)
            return rollouts.take(step).scored

        assert {one.score.invalid for one in take(0)} == {None}
        (tmp_path / "reward.broken").touch()
        assert {one.score.reward for one in take(1)} == {None}
        with pytest.raises(
            BadData, match=r"step 3: 20 of 20 samples have no reward \(20 x function: raised KeyError\), as in the step before"
        ):
            take(2)


def untimed(file: Path) -> list[dict]:
    """Rows without the times, which no two runs share."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith(("time/", "perf/"))} for row in rows]


def test_reward_models_score_on_workers_what_they_score_here(processes, reward_model):
    config = parse_tree(merge(processes.base, {"reward": {"models": {"a": str(reward_model), "b": str(reward_model)}}}), source="test")
    prompts = PromptStream(config.data, processes.processor, seed=0).take(6)
    assert {prompt.images is not None for prompt in prompts} == {True, False}
    samples = [
        Sample(prompt, Completion((), torch.tensor([1]), torch.zeros(1), word, "stop", 0)) for prompt in prompts for word in ("yes", "no 3")
    ]
    found = RewardModels(config, processes.placement).scores(samples)
    try_reward_models(RewardModels(config, processes.placement).scores, samples)
    here = RewardModel(reward_model, precision="fp32", batch_tokens=config.layout.max_tokens_per_microbatch).scores(samples)
    assert found == {"a": here, "b": here} and len(set(here)) == 12


def test_held_out_answers_do_not_depend_on_how_many_prompts_go_at_once(processes, task, monkeypatch):
    config = parse_tree(processes.base, source="test")
    held_out = {name: first_rows(task / "data" / f"{name}.jsonl", 5) for name in ("fre", "mgt")}

    def found(at_a_time: int) -> dict:
        monkeypatch.setattr("lmm_r1_mega.driver.evaluate.PROMPTS_AT_A_TIME", at_a_time)
        return {
            name: evaluate(
                processes.engines, rewards, PromptFile(path, config.data, processes.processor), config.rollout, samples=2, seed=3
            )
            for name, path in held_out.items()
        }

    with RewardPool(RewardSettings(workers=1)) as pool:
        rewards = rewards_of(RewardSettings(workers=1), pool)
        whole, pieces = found(256), found(2)
    for name in held_out:
        assert pieces[name].accuracy == whole[name].accuracy
        assert (whole[name].accuracy.num_prompts, whole[name].accuracy.num_samples) == (5, 10)
        assert answers(pieces[name].greedy) == answers(whole[name].greedy)
        assert all(one.sample.prompt.images is None for one in pieces[name].greedy)


def first_rows(path: Path, count: int) -> Path:
    """A file beside another with its first rows, so that images are found."""
    short = path.with_name(f"first_{path.name}")
    short.write_text("".join(path.read_text().splitlines(keepends=True)[:count]))
    return short


def answers(scored: list) -> list[tuple]:
    return [(one.sample.prompt.id, one.sample.completion.response_ids.tolist()) for one in scored]
