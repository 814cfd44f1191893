"""Every recipe fits the GPUs that it names, has the published hyper-parameters, and starts what it says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lmm_r1_mega import cli
from lmm_r1_mega.config import Config
from lmm_r1_mega.config.reading import read_config

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
CONFIGS = sorted((EXAMPLES / "configs").glob("*.yaml"))
SCRIPTS = sorted(EXAMPLES.glob("run_*.sh"))

# name: (estimator, actor lr, critic lr, KL coefficient, response, prompts a step, passes over the data, rows)
PUBLISHED = {
    "fre_text": ("reinforce_baseline", 4e-7, None, 1e-3, 4096, 256, 2, 40315),
    "fre_multi": ("reinforce_baseline", 1e-6, None, 1e-3, 4096, 256, 2, 60000),
    "mgt_geo": ("ppo", 1e-6, 9e-6, 1e-3, 4096, 256, 2, 15000),
    "mgt_percereason": ("reinforce_baseline", 4e-7, None, 1e-3, 8192, 256, 2, 60000),
    "direct_rl_geo": ("ppo", 1e-6, 9e-6, 1e-3, 4096, 256, 2, 15000),
    "sokoban": ("ppo", 1e-6, 5e-6, 0.0, 8192, 128, 4, 8000),
}


def recipe(name: str) -> Config:
    return read_config([str(EXAMPLES / "configs" / f"{name}.yaml")])


def run_script(script: Path, *words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    bin_folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([*filter(None, [environment.pop("BIN", "")]), bin_folder, os.environ["PATH"]])
    variables = {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": os.environ["HOME"], "COLUMNS": "80"} | environment
    return subprocess.run(["bash", str(script), *words], cwd=cwd, env=variables, capture_output=True, text=True, timeout=60, check=False)


def stand_in(path: Path) -> Path:
    """A program that prints its arguments as one JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_every_configuration_has_its_script():
    assert {path.stem for path in CONFIGS} == {path.stem.removeprefix("run_") for path in SCRIPTS}
    assert len(CONFIGS) == 10


def test_the_page_of_recipes_has_every_script_with_its_data_and_gpus():
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `examples/(run_\w+)\.sh` \|(.*)\|$", page, flags=re.MULTILINE))
    assert rows.keys() == {script.stem for script in SCRIPTS}
    for stem, cells in rows.items():
        config = recipe(stem.removeprefix("run_"))
        [data] = config.data.train
        assert f"`{data}`" in cells and f"${{DATA:-{data}}}" in (EXAMPLES / f"{stem}.sh").read_text(encoding="utf-8")
        assert cells.split("|")[-1].strip() == str(config.layout.num_ranks)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_fits_80_gib(config, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert cli.main(["plan", str(config), "--gpu-gib", "80", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == []
    assert max(found["verdict"]["training"], found["verdict"]["generating"]) <= 78 * 2**30, "nothing is left for a surprise"
    settings = read_config([str(config)])
    assert found["num_gpus"] == settings.cluster.nodes * 8, "it uses the machines that it asks for"
    assert settings.rollout.engines * settings.rollout.tensor == found["num_gpus"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_dry_runs_without_weights_or_data(script):
    done = run_script(script, "--dry-run", cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("fits")
    assert "\N{HORIZONTAL ELLIPSIS}" not in done.stdout, "numbers are not cut, however narrow the terminal"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_hyper_parameters(name):
    estimator, actor_rate, critic_rate, kl, response, prompts, passes, rows = PUBLISHED[name]
    config = recipe(name)
    algorithm, optimizer = config.algorithm, config.optimizer
    assert (algorithm.name, optimizer.learning_rate, algorithm.kl.coefficient) == (estimator, actor_rate, kl)
    assert critic_rate is None or config.critic.learning_rate == critic_rate
    assert (config.rollout.max_response_tokens, config.data.max_prompt_tokens) == (response, 4096)
    assert (algorithm.prompts_per_step, algorithm.samples_per_prompt, algorithm.optimizer_steps) == (prompts, 16, 16)
    assert (algorithm.epochs, algorithm.gamma, algorithm.lam) == (1, 1, 1)
    assert (algorithm.clip_low, algorithm.clip_high, config.rollout.temperature, config.rollout.top_p) == (0.2, 0.2, 1, 1)
    assert kl == 0 or (algorithm.kl.estimator, algorithm.kl.apply_to) == ("k1", "reward")
    assert (optimizer.beta1, optimizer.beta2, optimizer.weight_decay, optimizer.grad_clip) == (0.9, 0.95, 0, 1)
    assert (optimizer.schedule, optimizer.final_ratio, config.run.save_every) == ("cosine", 0.1, 20)
    assert config.run.steps == rows // prompts * passes
    assert optimizer.warmup_steps == -(-3 * config.run.steps * 16 // 100)


def test_sokoban_freezes_the_tower():
    assert recipe("sokoban").model.freeze == ("visual.*",)


def test_70b_is_ppo_on_64_gpus():
    config = recipe("fre_70b")
    assert (config.algorithm.name, config.layout.num_ranks, config.cluster.nodes) == ("ppo", 64, 8)
    assert config.model.path.name == "Qwen2.5-VL-72B-Instruct"


def test_a_script_hands_over_model_data_run_and_options(tmp_path):
    stand_in(tmp_path / "bin" / "lmm-r1-mega")
    words = ("--algorithm.epochs", "2")
    done = run_script(
        EXAMPLES / "run_fre_text.sh", *words, cwd=tmp_path, BIN=str(tmp_path / "bin"), MODEL="m", DATA="a.jsonl b.jsonl", RUN="r"
    )
    config = f"{EXAMPLES}/configs/fre_text.yaml"
    assert json.loads(done.stdout) == [
        "train", config, "--data.train", "a.jsonl", "b.jsonl", "--run.folder", "r", *words, "--model.path", "m",
    ]  # fmt: skip


def test_a_script_goes_on_with_its_run_in_the_clusters_job(tmp_path):
    stand_in(tmp_path / "bin" / "lmm-r1-mega")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "run.json").touch()
    done = run_script(
        EXAMPLES / "run_mgt_geo.sh", "--run.steps", "9", cwd=tmp_path, BIN=str(tmp_path / "bin"), RUN="r", RAY_ADDRESS="127.0.0.1:1"
    )
    assert json.loads(done.stdout) == ["resume", "r", "--run.steps", "9", "--cluster.address", "auto"]


@pytest.mark.parametrize(
    ("words", "started"),
    [
        (["examples/run_fre_70b.sh", "--x", "1"], ["env", "RUN=runs/a", "examples/run_fre_70b.sh", "--x", "1"]),
        (["a.yaml", "--x", "1"], ["lmm-r1-mega", "train", "a.yaml", "--x", "1", "--run.folder", "runs/a", "--cluster.address", "auto"]),
    ],
)
def test_the_slurm_template_starts_a_script_or_a_configuration(words, started, tmp_path):
    stand_in(tmp_path / "slurm" / "start_ray.sh")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    done = run_script(ROOT / "slurm" / "train.sbatch", "runs/a", *words, cwd=tmp_path, SLURM_SUBMIT_DIR=str(tmp_path))
    assert (done.returncode, json.loads(done.stdout)) == (0, started), done.stderr


def test_scripts_are_clean():
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or "shellcheck"
    files = [*map(str, EXAMPLES.glob("*.sh")), *map(str, (ROOT / "slurm").iterdir())]
    done = subprocess.run([shellcheck, *files], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
