import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from examples.quickstart.make_model import task_tokenizer, write_random_model
from examples.quickstart.problems import TRAINING, worked_answer
from lmm_r1_mega.config.reading import read_config
from lmm_r1_mega.convert.checkpoints import hf_to_megatron, megatron_to_hf

HERE = Path(__file__).parents[3] / "examples" / "quickstart"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("random")
    assert write_random_model(path) == 1_111_488
    return path


def test_words_of_the_task_are_single_tokens(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize(worked_answer((7, 2, 8))) == [
        *("<think>", "Ġ7", "Ġ+", "Ġ2", "Ġ=", "Ġ9", "Ġ+", "Ġ8", "Ġ=", "Ġ1", "7", "Ġ</think>"),
        *("Ġ<answer>", "Ġ$\\boxed{", "1", "7", "}$", "Ġ</answer>"),
    ]


def test_the_longest_answer_fits_the_response_limit():
    tokenizer = task_tokenizer()
    limit = read_config([str(HERE / "fre.yaml")]).rollout.max_response_tokens
    longest = max(len(tokenizer(worked_answer(operands)).input_ids) for operands in TRAINING)
    assert longest + 1 < limit


def test_images_are_never_resized(folder):
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    for stage in ("fre", "mgt", "cold_start_a", "cold_start_b"):
        data = read_config([str(HERE / f"{stage}.yaml")]).data
        assert data.min_pixels == data.max_pixels == settings["min_pixels"] == settings["max_pixels"] == 56 * 56


def test_the_stages_follow_one_another():
    stages = {name: read_config([str(HERE / f"{name}.yaml")]) for name in ("fre", "mgt", "cold_start_a", "cold_start_b")}
    assert stages["mgt"].model.path == stages["fre"].run.folder / "hf"
    assert stages["cold_start_b"].model.path == stages["cold_start_a"].run.folder / "hf"
    assert (stages["fre"].layout.tensor, stages["fre"].layout.sequence_parallel) == (2, True)
    assert stages["mgt"].layout.pipeline == 2


def test_transformers_loads_the_models_as_the_page_says(folder, tmp_path):
    lines = [line for line in (HERE / "README.md").read_text().split("## Files")[0].splitlines() if line.startswith("    ")]
    code = textwrap.dedent("\n".join(lines[next(at for at, line in enumerate(lines) if "torchvision_shim" in line) :]))
    assert code.count("runs/quickstart/mgt/hf") == 2
    hf_to_megatron(folder, tmp_path / "megatron")
    megatron_to_hf(tmp_path / "megatron", tmp_path / "hf")  # by the writer of a run's end
    for_both = [code.replace("runs/quickstart/mgt/hf", str(model)) for model in (HERE / "model", tmp_path / "hf")]
    programme = "\n".join(f"{one}\nprint(type(processor).__name__, type(model).__name__)" for one in for_both)
    said = subprocess.run([sys.executable, "-c", programme], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["Qwen2_5_VLProcessor Qwen2_5_VLForConditionalGeneration"] * 2
