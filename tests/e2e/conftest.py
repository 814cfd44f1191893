"""A random model, data with sums and images, and a reward that a random model can earn."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from examples.quickstart.make_data import write_training_data
from examples.quickstart.make_model import write_random_model

REWARD = '''"""Pays for words with an `e`: what a random model does now and then."""


def reward_func(queries, prompts, labels):
    return [query.count("e") / 4 for query in queries]
'''


@pytest.fixture(scope="session")
def task(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("task")
    write_training_data(folder / "data")
    write_random_model(folder / "model")
    (folder / "reward.py").write_text(REWARD)
    return folder


@pytest.fixture(scope="session")
def settings(task) -> dict:
    """Settings of a run of four short steps; a test adds its own."""
    return {
        "model": {"path": str(task / "model")},
        "layout": {"max_tokens_per_microbatch": 256},
        "data": {
            "train": [str(task / "data" / "fre.jsonl"), str(task / "data" / "mgt.jsonl")],
            "max_prompt_tokens": 64,
            "min_pixels": 3136,
            "max_pixels": 3136,
        },
        "rollout": {"max_response_tokens": 12, "max_sequences": 32, "kv_cache_gib": 0.25},
        "algorithm": {"prompts_per_step": 4, "samples_per_prompt": 4, "optimizer_steps": 2},
        "reward": {"function": str(task / "reward.py"), "weights": {"function": 1.0}, "workers": 1},
        "optimizer": {"learning_rate": 1e-3},
        "run": {"steps": 4, "save_every": 2},
    }


@pytest.fixture(scope="session")
def reward_model(tmp_path_factory) -> Path:
    """A random Qwen2.5-VL with a value head."""
    folder = tmp_path_factory.mktemp("reward_model")
    write_random_model(folder, seed=1)
    weights = load_file(folder / "model.safetensors")
    weights["score.weight"] = torch.randn(1, 128, generator=torch.Generator().manual_seed(0))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
