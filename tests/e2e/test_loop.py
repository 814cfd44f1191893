"""Every algorithm through the real loop: Megatron ranks, vLLM engines and reward workers under Ray."""

import json
import math
from contextlib import ExitStack
from pathlib import Path

import pytest

from lmm_r1_mega.algorithms.kl import kl_controller
from lmm_r1_mega.algorithms.table import ALGORITHMS
from lmm_r1_mega.cluster.engines import Engines
from lmm_r1_mega.cluster.placement import num_bundles, place
from lmm_r1_mega.cluster.session import ray_session
from lmm_r1_mega.cluster.trainers import Trainers
from lmm_r1_mega.config import Config
from lmm_r1_mega.data.processor import Processor
from lmm_r1_mega.data.stream import PromptStream
from lmm_r1_mega.record.book import open_book
from lmm_r1_mega.rewards.pool import RewardPool
from lmm_r1_mega.run import Run, load_models
from lmm_r1_mega.settings import merge, parse_tree, to_yaml
from lmm_r1_mega.train import run_steps

KL_IN_REWARD = {"coefficient": 0.05, "place": "reward", "estimator": "k1"}
KL_IN_LOSS = {"coefficient": 0.05, "place": "loss", "target": 0.1}
VARIANTS = {
    "ppo": {"kl": KL_IN_REWARD, "lam": 0.95, "epochs": 2},
    "grpo": {"kl": KL_IN_LOSS},
    "dr_grpo": {"entropy_coefficient": 0.01, "optimizer_steps": 1},
    "rloo": {"importance_cap": 2.0},
    "reinforce": {"gamma": 0.99, "dual_clip": 3.0},
    "reinforce_pp": {"kl": KL_IN_REWARD},
    "reinforce_baseline": {"clip_high": 0.28},
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
                "run": {"steps": 3, "save_every": 0},
            },
        )
        config = parse_tree(self.base, source="test")
        stack.enter_context(ray_session(config.cluster, num_processes=num_bundles(config, num_trainers=2)))
        self.rewards = stack.enter_context(RewardPool(config.reward))
        self.processor = Processor.load(config.model.path, min_pixels=3136, max_pixels=3136)
        placement = place(config, num_trainers=2)
        self.engines = Engines(config, placement, config.model.path, max_images=1)
        self.trainers = Trainers(config, placement)
        self.engines.wait_until_ready()

    def run(self, name: str, folder: Path) -> list[dict]:
        """Three steps of an algorithm from the random model on; its metrics."""
        config: Config = parse_tree(
            merge(self.base, {"algorithm": {"name": name, **VARIANTS[name]}, "run": {"folder": str(folder)}}), source=name
        )
        load_models(config, self.trainers)
        self.trainers.publish(self.engines.actors, version=0)
        with open_book(config, to_yaml(config), verb="train", resume_after=None) as book:
            prompts = PromptStream(config.data, self.processor, seed=0)
            run = Run(
                config,
                book,
                prompts,
                {},
                self.rewards,
                self.trainers,
                self.engines,
                kl_controller(config.algorithm.kl),
                self.processor.forbidden_ids,
            )
            run_steps(run)
        return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def processes(settings):
    with ExitStack() as stack:
        yield Processes(settings, stack)


def test_every_algorithm_has_a_variant_here():
    assert set(VARIANTS) == set(ALGORITHMS)


@pytest.mark.parametrize("name", VARIANTS)
def test_three_steps(processes, tmp_path, name):
    rows = processes.run(name, tmp_path / "run")
    assert [row["step"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert row["samples/dispatched"] == 20 == row["samples/trained"] + row["samples/invalid"]
        assert row["mismatch/abs_max"] < 1e-4, rows
        assert math.isfinite(row["loss"]) and row["grad_norm"] > 0
    samples = [json.loads(line) for line in (tmp_path / "run" / "rollouts.jsonl").read_text().splitlines()]
    assert all((tmp_path / "run" / image).is_file() for sample in samples for image in sample["images"])
    assert all(len(sample["images"]) == sample["prompt"].count("<|image_pad|>") for sample in samples)
    assert rows[0]["kl"] == 0, "the reference is the policy before the first step"
    assert ("critic/loss" in rows[0]) == (name == "ppo")
    if name == "dr_grpo":  # one update a step: its own forward pass gives the old log-probabilities
        assert [row["ratio/mean"] for row in rows] == [1.0, 1.0, 1.0]
    if "kl" in VARIANTS[name]:
        assert rows[1]["kl"] != 0
