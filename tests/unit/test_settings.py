"""Settings from files and options: later ones win, and a wrong name or value is named with the right one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmm_r1_mega.config import RENAMED, Config
from lmm_r1_mega.config.reading import (
    describe_settings,
    merge,
    model_folder,
    parse_tree,
    read_config,
    read_tree,
    renamed_in,
    setting_fields,
    setting_names,
    to_yaml,
)

TREES = st.recursive(st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=6)
MAPPINGS = st.dictionaries(st.sampled_from("abc"), TREES, max_size=3)


def written(folder, name, text):
    path = folder / name
    path.write_text(text)
    return str(path)


def test_nothing_gives_the_defaults():
    assert read_config([]) == Config()


def test_later_files_win_over_earlier_ones_and_options_over_files(tmp_path):
    first = written(tmp_path, "a.yaml", "run: {steps: 1, seed: 1, save_every: 1}")
    second = written(tmp_path, "b.yaml", "run: {steps: 2, seed: 2}")
    config = read_config([first, second, "--run.steps", "3"])
    assert (config.run.steps, config.run.seed, config.run.save_every) == (3, 2, 1)


def test_of_an_option_given_twice_the_later_counts():
    assert read_config(["--run.steps", "3", "--run.steps=4"]).run.steps == 4


def test_an_option_mends_a_file_before_anything_is_checked(tmp_path):
    file = written(tmp_path, "a.yaml", "algorithm: {name: rloo, samples_per_prompt: 1}")
    assert read_config([file, "--algorithm.samples_per_prompt", "4"]).algorithm.samples_per_prompt == 4


def test_every_kind_of_value_can_be_written_as_an_option():
    options = {
        "--data.train": ["a.jsonl", "b.jsonl"],
        "--data.eval": ["text", "t.jsonl", "image", "i.jsonl"],
        "--model.freeze": [],
        "--reward.weights": ["accuracy", "2"],
        "--algorithm.reward_clip": ["-1", "0.5"],
        "--algorithm.kl.target": ["None"],
        "--layout.max-tokens-per-microbatch": ["64"],
        "--layout.sequence_parallel": ["false"],
        "--rollout.top_k": ["-1"],
        "--optimizer.learning_rate": ["1e-5"],
    }
    config = read_config([word for name, values in options.items() for word in (name, *values)])
    assert [str(path) for path in config.data.train] == ["a.jsonl", "b.jsonl"]
    assert {name: str(path) for name, path in config.data.eval.items()} == {"text": "t.jsonl", "image": "i.jsonl"}
    assert config.model.freeze == ()
    assert config.reward.weights == {"accuracy": 2.0}
    assert config.algorithm.reward_clip == (-1.0, 0.5)
    assert config.algorithm.kl.target is None
    assert (config.layout.max_tokens_per_microbatch, config.layout.sequence_parallel, config.rollout.top_k) == (64, False, -1)
    assert config.optimizer.learning_rate == 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layout.tenser", "2"], r"unknown setting layout.tenser: did you mean layout.tensor\?"),
        (["--coefficient", "1"], r"unknown setting coefficient: did you mean algorithm.kl.coefficient\?"),
        (["--layout.learning_rate", "1"], r"did you mean critic.learning_rate or optimizer.learning_rate\?"),
        (["--qqq", "1"], r"unknown setting qqq: sections are model, layout, data"),
        (["-x", "1"], r"unknown option -x: write --section.field value"),
        (["--run.steps"], r"--run.steps takes INT, got nothing"),
        (["--run.steps", "1", "b.yaml"], r"--run.steps takes INT, got 1 b.yaml"),
        (["--data.eval", "text"], r"--data.eval takes NAME PATH ..., got text"),
        (["--data.eval", "a", "b", "c"], r"--data.eval takes NAME PATH ..., got a b c"),
        (["--run.steps", "0"], r"the command line: run.steps = '0': .*greater than or equal to 1"),
        (["--run.steps", "0", "--run.seed", "x"], r"run.steps = '0'.*; run.seed = 'x'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        read_config(options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layout: {tenser: 2}", r"a.yaml: unknown setting layout.tenser: did you mean layout.tensor\?"),
        ("algorithm: {kl: {coeficient: 1}}", r"did you mean algorithm.kl.coefficient\?"),
        ("layout: 3", r"layout = 3"),
        ("layout:", r"layout = None"),
        ("steps: 3", r"unknown setting steps: did you mean .*run.steps"),
        ("3", r"a.yaml holds int, not sections"),
        ("# later", r"a.yaml holds nothing, not sections"),
    ],
)
def test_wrong_files_are_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_config([written(tmp_path, "a.yaml", text)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: {steps: 1}\nalgorithm:\n  epochs: 1\n  name: ppo\n  epochs: 2\n", r"a.yaml has `epochs` on line 3 and on line 5: keep one"),
        ("run: {steps: 1}\ndata: {}\nrun: {seed: 2}\n", r"a.yaml has `run` on line 1 and on line 3: keep one"),
        ("run: {steps: 1, seed: 2,\n  'steps': 3}\n", r"a.yaml has `steps` on line 1 and on line 2: keep one"),
        ("reward: {weights: {format: 1, accuracy: 1, format: 0}}\n", r"a.yaml has `format` on line 1 and on line 1: keep one"),
    ],
)
def test_a_key_given_twice_is_named_with_both_lines(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_config([written(tmp_path, "a.yaml", text)])


def test_a_key_of_several_sections_and_one_that_a_merge_brings_are_not_twice(tmp_path):
    text = "critic: &rates {learning_rate: 1.0e-5}\noptimizer: {<<: *rates, learning_rate: 2.0e-5, eps: 1.0e-6}\n"
    config = read_config([written(tmp_path, "a.yaml", text)])
    assert (config.critic.learning_rate, config.optimizer.learning_rate, config.optimizer.eps) == (1e-5, 2e-5, 1e-6)


def test_a_name_given_twice_on_the_command_line_is_refused():
    with pytest.raises(ValueError, match=r"--reward.weights names accuracy twice: keep one"):
        read_config(["--reward.weights", "accuracy", "1", "format", "1", "accuracy", "0.5"])


NUMBERS = {name: field.annotation for name, field in setting_fields() if "float" in str(field.annotation)}
"""Every setting that holds a number with a fraction, alone, in a pair, a list or a mapping."""


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_is_finite(name, number):
    kind = str(NUMBERS[name])
    words = ["accuracy", number] if "dict" in kind else [number] * (2 if kind.count("float") > 1 else 1)
    with pytest.raises(ValueError, match=rf"{name}\b.*finite number"):
        read_config([f"--{name}", *words])


def test_numbers_in_lists_and_mappings_are_among_them():
    assert {"reward.weights", "algorithm.reward_clip", "data.probabilities", "algorithm.kl.target"} <= set(NUMBERS)


def test_yaml_has_its_own_spelling_of_what_is_not_finite(tmp_path):
    with pytest.raises(ValueError, match=r"reward.weights.accuracy = inf: .*finite number; optimizer.learning_rate = nan: .*finite number"):
        read_config([written(tmp_path, "a.yaml", "optimizer: {learning_rate: .nan}\nreward: {weights: {accuracy: .inf}}")])


@given(MAPPINGS, MAPPINGS)
def test_merging_changes_nothing_twice_and_nothing_is_its_neutral_element(a, b):
    assert merge(a, {}) == merge({}, a) == merge(a, a) == a
    assert merge(merge(a, b), b) == merge(a, b)
    assert merge(a, b).keys() == a.keys() | b.keys()


def test_merging_by_hand():
    assert merge({"a": {"x": 1, "y": 2}, "b": 1}, {"a": {"y": 3}}) == {"a": {"x": 1, "y": 3}, "b": 1}
    assert merge({"a": {"x": 1}}, {"a": 2}) == {"a": 2}


def test_yaml_is_read_back_to_an_equal_tree(tmp_path):
    changed = {
        "data": {"train": ["a.jsonl"], "eval": {"text": "t.jsonl"}, "system_prompt": "a: b # c"},
        "algorithm": {"name": "ppo", "reward_clip": [-1, 1], "kl": {"coefficient": 0.1, "target": 0.1}},
        "optimizer": {"learning_rate": 1e-7},
        "run": {"trackers": ["tensorboard"]},
    }
    config = parse_tree(changed, source="test")
    assert read_config([written(tmp_path, "a.yaml", to_yaml(config))]) == config != Config()


def test_help_has_every_setting_with_its_meaning():
    lines = describe_settings().splitlines()
    assert [line.split()[0] for line in lines[0::2]] == [f"--{name}" for name in setting_names()]
    assert not {line.strip() for line in lines[1::2]} & {"", "None"}
    assert "  --algorithm.reward_clip FLOAT FLOAT  (default: None)" in lines
    assert "  --reward.weights NAME FLOAT ...  (default: format 0.5 accuracy 1.0)" in lines


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        ({"policy_loss": "cispo", "dual_clip": 3.0}, r"algorithm\.dual_clip bounds a clipped ratio, .* cispo has not: leave it out"),
        ({"old_logprobs": "rollout", "importance_cap": 2.0}, r"algorithm\.importance_cap weighs .* set algorithm\.old_logprobs to trainer"),
        ({"old_logprobs": "rollout", "importance_bounds": [0.5, 5]}, r"algorithm\.importance_bounds weighs"),
        ({"importance_bounds": [5, 0.5]}, r"algorithm\.importance_bounds 5\.0 and 0\.5 hold nothing: give the lower one first"),
        ({"reward_clip": [1, -1]}, r"algorithm\.reward_clip 1\.0 and -1\.0 hold nothing: give the lower one first"),
        ({"reward_clip": [0, 0]}, r"algorithm\.reward_clip 0\.0 and 0\.0 hold nothing"),
        (
            {"name": "ppo", "samples_per_prompt": 1, "whitening": "group"},
            r"algorithm\.whitening group .* raise algorithm\.samples_per_prompt",
        ),
        ({"kl": {"coefficient": 0.1, "estimator": "k1"}}, r"set algorithm\.kl\.importance_weighted"),
        ({"kl": {"target": 0.1}}, r"algorithm\.kl\.target 0\.1 needs a coefficient .* set algorithm\.kl\.coefficient"),
        ({"entropy_target": 0.5}, r"algorithm\.entropy_target 0\.5 needs a weight .* set algorithm\.entropy_coefficient"),
    ],
)
def test_parts_of_an_algorithm_that_do_not_fit_are_refused(algorithm, message):
    with pytest.raises(ValueError, match=message):
        parse_tree({"algorithm": algorithm}, source="test")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("optimizer.beta1", "1", "less than 1"),
        ("optimizer.beta2", "1", "less than 1"),
        ("algorithm.clip_low", "1.5", "less than or equal to 1"),
        ("rollout.gpu_memory", "0", "greater than 0"),
    ],
)
def test_numbers_that_say_nothing_are_refused(name, value, message):
    """A moment that never changes, a ratio below 0, an engine without memory."""
    with pytest.raises(ValueError, match=rf"{name} = '{value}'.*{message}"):
        read_config([f"--{name}", value])


@pytest.mark.parametrize("cut", [{"top_p": 0.9}, {"top_k": 20}])
def test_in_bypass_the_engine_samples_the_whole_distribution(cut):
    with pytest.raises(ValueError, match=r"set them to 1 and -1, or algorithm\.old_logprobs to trainer"):
        parse_tree({"algorithm": {"old_logprobs": "rollout"}, "rollout": cut}, source="test")
    parse_tree({"rollout": cut}, source="test")


def test_k1_may_stand_in_the_loss_where_its_weight_gives_it_a_gradient():
    parse_tree({"algorithm": {"kl": {"coefficient": 0.1, "estimator": "k1", "importance_weighted": True}}}, source="test")


def test_settings_are_few_enough_to_read():
    assert len(list(setting_names())) <= 120


def test_a_run_stands_for_the_model_that_it_exported(tmp_path):
    run, model = tmp_path / "run", tmp_path / "model"
    for folder in (run / "hf", model):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    (run / "run.json").write_text("{}")
    config = read_config(["--model.path", str(run), "--critic.path", str(run), "--reward.models", "a", str(run), "b", str(model)])
    assert config.model.path == config.critic.path == run / "hf"
    assert config.reward.models == {"a": run / "hf", "b": model}
    assert read_config(["--model.path", str(model)]).model.path == model
    (run / "hf" / "config.json").unlink()
    for setting in (["--model.path", str(run)], ["--critic.path", str(run)], ["--reward.models", "a", str(run)]):
        with pytest.raises(ValueError, match=f"{run} is the folder of a run without an exported model .hf.: let `lmm-r1-mega resume {run}"):
            read_config(setting)
    (run / "run.json").unlink()
    assert model_folder(run) == run, "whoever reads the model says that there is none"


@pytest.mark.parametrize("old", RENAMED)
def test_a_setting_of_an_earlier_version_is_an_error_that_names_the_new_one(old, tmp_path):
    section, _, rest = old.partition(".")
    inner = {rest: 1} if "." not in rest else {rest.split(".")[0]: {rest.split(".")[1]: 1}}
    with pytest.raises(ValueError, match=f"setting {old} is now {RENAMED[old]}: rename it"):
        parse_tree({section: inner}, source="test")
    with pytest.raises(ValueError, match=f"setting {old} is now {RENAMED[old]}: rename it"):
        read_config([f"--{old}", "1"])
    assert RENAMED[old] in set(setting_names()) and old not in set(setting_names())


def test_the_settings_of_an_earlier_run_are_read_under_their_new_names(tmp_path):
    file = tmp_path / "config.yaml"
    algorithm = "algorithm: {kl: {place: reward, coefficient: 0.1}, name: rloo}"
    file.write_text(f"layout: {{row_tokens: 64, tensor: 2}}\n{algorithm}\nrollout: {{ahead: 1}}\n")
    config = read_config([str(file)], of_run=True)
    assert (config.layout.max_tokens_per_microbatch, config.layout.tensor, config.rollout.max_staleness) == (64, 2, 1)
    assert (config.algorithm.kl.apply_to, config.algorithm.kl.coefficient, config.algorithm.name) == ("reward", 0.1, "rloo")
    assert list(renamed_in(read_tree(file))) == ["layout.row_tokens", "rollout.ahead", "algorithm.kl.place"]
