"""Memory and places of reward models, by hand; what they add to a plan."""

import io
import json
import shlex
from pathlib import Path

import pytest
from paper_model import VISION
from rich.console import Console

from lmm_r1_mega.commands.plan import run
from lmm_r1_mega.config import Config
from lmm_r1_mega.config.reading import read_config
from lmm_r1_mega.families.shape import RewardShape
from lmm_r1_mega.planning.hardware import GIB, Hardware
from lmm_r1_mega.planning.plan import plan
from lmm_r1_mega.planning.report import as_json, render
from lmm_r1_mega.planning.reward_models import RewardModelMemory, batch_activations, reward_model_memories

MODELS = Path(__file__).parents[3] / "examples" / "models"
A100 = Hardware(80.0)
TEXT = RewardShape(num_parameters=1000, hidden_size=8, ffn_size=12, vision=None)
SEEING = RewardShape(num_parameters=1000, hidden_size=8, ffn_size=12, vision=VISION)
LARGE = RewardShape(num_parameters=7 * GIB, hidden_size=3584, ffn_size=18944, vision=None)
"""14 GiB in bf16."""
LARGE_BATCH = 8192 * (2 * (5 * 3584 + 3 * 18944) + 5120)


def config(names: str = "a", **sections) -> Config:
    layout = {"tensor": 4, "data": 2, "max_tokens_per_microbatch": 8192}
    known = {
        "layout": layout,
        "rollout": {"engines": 8, "gpu_memory": 0.4},
        "cluster": {"gpus_per_node": 8},
        "reward": {"models": {name: name for name in names}},
    }
    return Config.model_validate(known | sections)


def test_a_batch_by_hand():
    short = config(layout={"max_tokens_per_microbatch": 200}, data={"max_prompt_tokens": 60}, rollout={"max_response_tokens": 40})
    # five times 8 and three times 12 numbers a token, and a byte of mask for each of the 100 tokens of the longest sample
    assert batch_activations(short, TEXT, width=2, image_share=0.5) == 200 * (76 * 2 + 100)
    # 200 patches of 12 pixels, a byte and an fp32 number each, and of 4 numbers that the tower says; its own 4 x (6 x 2 + 8 x 4) are less
    assert batch_activations(short, SEEING, width=2, image_share=0.25) == 200 * (12 * 5 + 8) + 200 * (76 * 2 + 100)
    # all tokens of images: 800 patches whose attention takes more than the decoder
    assert batch_activations(short, SEEING, width=2, image_share=1.0) == 800 * (12 * 5 + 8) + 800 * 176


@pytest.mark.parametrize(
    ("hardware", "precision", "width"), [(A100, "auto", 2), (A100, "fp8", 2), (A100, "fp32", 4), (Hardware(None), "auto", 4)]
)
def test_weights_are_counted_as_they_are_loaded(hardware, precision, width):
    [found] = reward_model_memories(config(model={"precision": precision}), {"a": TEXT}, hardware, image_share=0)
    assert found.weights == 1000 * width
    assert found.activations == batch_activations(config(), TEXT, width=width, image_share=0)


def test_models_go_to_the_trainers_in_turn():
    shapes = dict.fromkeys("cab", TEXT)
    found = reward_model_memories(config("cab", layout={"data": 2}), shapes, A100, image_share=0)
    assert [(one.name, one.rank) for one in found] == [("c", 0), ("a", 1), ("b", 0)]


def planned(settings: Config, published, hardware=A100, shape=LARGE):
    return plan(settings, published("7B"), hardware, reward_shapes=dict.fromkeys(settings.reward.models, shape))


def test_a_gpu_holds_a_model_while_it_scores_and_its_context_always(published):
    without, with_one = planned(config(""), published), planned(config(), published)
    assert with_one.reward_models == (RewardModelMemory("a", 0, 7 * GIB, 14 * GIB, LARGE_BATCH, GIB),)
    assert without.verdict.scoring == 0
    assert with_one.verdict.scoring == with_one.stages[0].resident + 14 * GIB + LARGE_BATCH + GIB
    assert with_one.verdict.training == without.verdict.training + GIB
    assert with_one.verdict.generating == without.verdict.generating + GIB
    assert with_one.verdict.host == without.verdict.host + 14 * GIB


def test_models_on_one_gpu_score_at_the_same_time(published):
    settings = config("ab", layout={"tensor": 1, "max_tokens_per_microbatch": 8192}, rollout={"engines": 1, "gpu_memory": 0.4})
    made = planned(settings, published)
    assert made.verdict.scoring == made.stages[0].resident + 2 * (15 * GIB + LARGE_BATCH)
    assert any(reason.startswith("scoring needs") and "split the trainer over more ranks" in reason for reason in made.verdict.reasons)


def test_the_stage_of_the_rank_counts(published):
    one_each = {"layout": {"pipeline": 2, "max_tokens_per_microbatch": 8192}, "rollout": {"engines": 2, "gpu_memory": 0.1}}
    made = planned(config("ab", **one_each), published)
    fullest = max(made.stages[0].resident, made.stages[1].resident)
    assert made.verdict.scoring == fullest + 15 * GIB + LARGE_BATCH


def test_the_advised_layout_has_room_for_the_models(published):
    huge = RewardShape(num_parameters=30 * GIB, hidden_size=8192, ffn_size=29568, vision=None)
    crowded = config("ab", layout={"max_tokens_per_microbatch": 8192}, rollout={"engines": 1})
    advice = {shape: planned(crowded, published, shape=shape).advice for shape in (TEXT, huge)}
    taken = {
        shape: read_config(["--cluster.gpus_per_node", "8", "--reward.models", "a", "a", "b", "b", *shlex.split(found)])
        for shape, found in advice.items()
    }
    assert all(planned(settings, published, shape=shape).is_valid for shape, settings in taken.items())
    assert not planned(taken[TEXT], published, shape=huge).verdict.fits


def test_on_a_cpu_every_model_is_a_process(published):
    host = Hardware(None, host_gib=500)
    without, with_two = planned(config(""), published, host), planned(config("ab"), published, host)
    batch = 8192 * (4 * (5 * 3584 + 3 * 18944) + 5120)
    assert with_two.verdict.scoring == 28 * GIB + batch + GIB
    assert with_two.verdict.host == without.verdict.host + 2 * (28 * GIB + batch + GIB)
    assert (with_two.verdict.training, with_two.verdict.generating) == (without.verdict.training, without.verdict.generating)


@pytest.mark.parametrize(("hardware", "place"), [(A100, "GPU of trainer rank 1"), (Hardware(None), "host")])
def test_the_plan_says_who_sits_where(published, hardware, place):
    made = planned(config("xy"), published, hardware)
    page = io.StringIO()
    Console(file=page, width=200).print(render(made))
    [line] = [line for line in page.getvalue().splitlines() if "│ y" in line]
    assert place in line and "7.516 B" in line and f"{made.reward_models[1].scoring / GIB:.2f}" in line
    assert f"{made.verdict.scoring / GIB:.2f} to score" in page.getvalue()
    assert json.loads(json.dumps(as_json(made)))["reward_models"][1]["scoring"] == made.reward_models[1].scoring


def test_the_verb_needs_no_weights(tmp_path, capsys):
    values = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    one_label = {"architectures": ["LlamaForSequenceClassification"], "model_type": "llama", "vocab_size": 400, "id2label": {"0": "score"}}
    (tmp_path / "config.json").write_text(json.dumps(one_label | values))
    assert (
        run(["--model.path", str(MODELS / "Qwen2.5-VL-7B-Instruct"), "--gpu-gib", "8", "--json", "--reward.models", "taste", str(tmp_path)])
        == 2
    )
    [found] = json.loads(capsys.readouterr().out)["reward_models"]
    # words; two layers of query and result, key and value, three matrices of 96, two norms; a norm; a row that says the score
    assert found["num_parameters"] == 400 * 64 + 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96 + 2 * 64) + 64 + 64
    assert (found["name"], found["rank"], found["weights"]) == ("taste", 0, 2 * found["num_parameters"])
