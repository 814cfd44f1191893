"""Real runs over both nodes of a SLURM; its nodes have the addresses 127.0.0.11 and 127.0.0.12, and two CPUs each."""

import json
import re
from pathlib import Path

import pytest
import yaml
from cluster import ROOT, command, submit, wait_for

from examples.quickstart.make_data import write_training_data
from examples.quickstart.make_model import write_random_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REWARD = "def reward_func(queries, prompts, labels):\n    return [query.count('e') / 4 for query in queries]\n"


@pytest.fixture(scope="module")
def config_file(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("task")
    write_training_data(folder / "data")
    write_random_model(folder / "model")
    (folder / "reward.py").write_text(REWARD)
    settings = {
        "model": {"path": str(folder / "model")},
        "layout": {"max_tokens_per_microbatch": 256},
        "data": {"train": [str(folder / "data" / "fre.jsonl")], "max_prompt_tokens": 64},
        "rollout": {"max_response_tokens": 12, "max_sequences": 32, "kv_cache_gib": 0.25},
        "algorithm": {"prompts_per_step": 6, "samples_per_prompt": 4},
        "reward": {"function": str(folder / "reward.py"), "weights": {"function": 1.0}, "workers": 1},
        "run": {"steps": 2, "save_every": 1},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return str(folder / "config.yaml")


def over_both_nodes(folder: Path, temporary: Path, *words: str):
    variables = {"VENV": str(ROOT / ".venv"), "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return submit(folder, "--nodes=2", words=words, variables=variables)


def test_ranks_on_two_nodes_train_together_save_when_they_are_asked_to_end_and_go_on(slurm, config_file, tmp_path, temporary):
    job = over_both_nodes(tmp_path, temporary, config_file, "--layout.data", "3", "--run.steps", "40", "--run.save_every", "0")
    wait_for((tmp_path / "run" / "metrics.jsonl").is_file, lambda: job.log)
    command("scancel", "--batch", "--signal=USR1", job.number)
    assert job.status == 0, job.log
    assert int(job.field("Restarts")) >= 1, job.log  # a Ray that does not come up in time costs a start too
    assert re.search(r"^127.0.0.11: trainer ranks? 0.*, rollout engine 0\n127.0.0.12: trainer ranks? .*2$", job.log, re.MULTILINE), job.log
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 41))
    assert (tmp_path / "run" / "hf" / "config.json").is_file()
    assert "Killed" not in job.log
    assert list(temporary.iterdir()) == []


def test_an_idle_node_is_named(slurm, config_file, tmp_path, temporary):
    job = over_both_nodes(tmp_path, temporary, config_file, "--run.steps", "1")
    assert job.status == 0, job.log
    assert len(re.findall(r"^127.0.0.1[12]: no process of this run: the machine is idle", job.log, re.MULTILINE)) == 1, job.log


def test_engines_away_from_the_trainer_are_refused(slurm, config_file, tmp_path, temporary):
    words = ("--layout.data", "2", "--cluster.placement", "disaggregated")
    job = over_both_nodes(tmp_path, temporary, config_file, *words)
    assert job.status == 2, job.log
    assert "rollout engine 0 would run on 127.0.0.12 and trainer rank 0 on 127.0.0.11" in job.log
    assert not (tmp_path / "run" / "checkpoints").exists()
