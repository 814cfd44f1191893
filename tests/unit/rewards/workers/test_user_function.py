"""The user's own reward file, loaded and called in this process."""

import math
from pathlib import Path

import pytest
from loopback import loopback, send

from lmm_r1_mega.config import RemoteSettings
from lmm_r1_mega.rewards.messages import PartialReward, RewardInput
from lmm_r1_mega.rewards.remote.reward_servers import RemoteRewards
from lmm_r1_mega.rewards.workers.user_function import call, load

INPUTS = [RewardInput("ab", "x", "P:"), RewardInput("c", "y", "Q:")]


def written(folder: Path, source: str) -> Path:
    path = folder / "mine.py"
    path.write_text(source)
    return path


def outcome(folder: Path, body: str):
    path = written(folder, f"def reward_func(queries, prompts, labels):\n    {body}\n")
    return call(load(path), INPUTS, path)


def test_it_reads_queries_prompts_and_labels_and_gives_a_part(tmp_path):
    given = outcome(tmp_path, "return [len(q) + 10 * len(p) + (100 if l == 'y' else 0) for q, p, l in zip(queries, prompts, labels)]")
    assert given.rewards == [PartialReward({"function": 24.0}), PartialReward({"function": 123.0})]


def test_named_lists_are_further_parts(tmp_path):
    given = outcome(tmp_path, "return {'rewards': [1, 2], 'brevity': [0.5, 0.25]}")
    assert given.rewards == [
        PartialReward({"function": 1.0, "function/brevity": 0.5}),
        PartialReward({"function": 2.0, "function/brevity": 0.25}),
    ]


OPENRLHF = """import torch
    right = torch.tensor([float(str(label) in query[len(prompt):]) for query, prompt, label in zip(queries, prompts, labels)])
    logs = {'accuracy': right.mean(), 'length': right + 1}
    return {'rewards': right, 'scores': right, 'extra_logs': logs, 'note': 'x', 'x': [1, 2, 3]}"""


def test_a_file_in_openrlhfs_shape_pays_as_a_server_with_that_answer(tmp_path):
    given = outcome(tmp_path, OPENRLHF).rewards
    assert given == [PartialReward({"function": 0.0, "function/scores": 0.0, "function/length": 1.0})] * 2
    answer = {"rewards": [0.0] * 2, "scores": [0.0] * 2, "extra_logs": {"accuracy": 0.0}, "note": "x", "x": [1, 2, 3]}
    with loopback(lambda handler, body, number: send(handler, answer)) as server:
        by_server = RemoteRewards(RemoteSettings(urls=(server.url,))).partial_rewards(INPUTS)
    assert by_server == [PartialReward({"remote": 0.0, "remote/scores": 0.0})] * 2


def test_a_function_may_say_why_a_response_cannot_be_judged(tmp_path):
    given = outcome(tmp_path, "return {'rewards': [None, 3.0], 'invalid': [None, 'no picture'], 'x': [1.0, None]}")
    assert given.rewards == [PartialReward({"function/x": 1.0}, "function: no reward"), PartialReward({}, "function: no picture")]


def test_a_value_that_is_not_finite_is_invalid_alone(tmp_path):
    given = outcome(tmp_path, "return [1.0, float('nan')]")
    assert given.rewards == [PartialReward({"function": 1.0}), PartialReward({}, "function: not a finite number")]
    assert not math.isnan(sum(given.rewards[1].parts.values()))


def test_arrays_and_generators_are_lists_too(tmp_path):
    expected = [PartialReward({"function": 1.0}), PartialReward({"function": 0.0})]
    assert outcome(tmp_path, "import numpy; return numpy.array([1.0, 0.0])").rewards == expected
    assert outcome(tmp_path, "return (q == 'P:ab' for q in queries)").rewards == expected


def test_a_number_too_large_for_a_float_is_invalid_alone(tmp_path):
    assert outcome(tmp_path, "return [10**400, 1]").rewards == [
        PartialReward({}, "function: not a finite number"),
        PartialReward({"function": 1.0}),
    ]


def test_a_file_with_a_dataclass_and_late_annotations_can_be_imported(tmp_path):
    path = written(
        tmp_path,
        "from __future__ import annotations\nimport dataclasses, pickle\n@dataclasses.dataclass\nclass Grade:\n    value: int\n"
        "def reward_func(queries, prompts, labels):\n    return [pickle.loads(pickle.dumps(Grade(5))).value for _ in queries]\n",
    )
    assert call(load(path), INPUTS, path).rewards == [PartialReward({"function": 5.0})] * 2


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        ("return [1.0]", "function: wrong length: `rewards` has 1 entries for 2 responses"),
        ("return {'score': [1, 2]}", "function: no `rewards` in the returned dict"),
        ("return None", "function: `rewards` is not a list of numbers"),
        ("return ['a', 'b']", "function: `rewards` is not a list of numbers"),
        ("return ['1', '2']", "function: `rewards` is not a list of numbers"),
        ("return '12'", "function: `rewards` is not a list of numbers"),
        ("return 3.0", "function: `rewards` is not a list of numbers"),
        ("return [[1.0], [2.0]]", "function: `rewards` is not a list of numbers"),
        ("raise KeyError('gone')", "function: raised KeyError"),
        ("exit(3)", "function: raised SystemExit"),
    ],
)
def test_whatever_goes_wrong_has_a_name(tmp_path, body, failure):
    assert outcome(tmp_path, body).failure == failure


def test_the_traceback_is_the_users_own(tmp_path):
    trace = outcome(tmp_path, "raise KeyError('gone')").trace
    assert "mine.py" in trace and "KeyError: 'gone'" in trace
    assert "user_function.py" not in trace


def test_a_neighbour_file_can_be_imported(tmp_path):
    (tmp_path / "reward_neighbour.py").write_text("BONUS = 7")
    path = written(
        tmp_path, "from reward_neighbour import BONUS\ndef reward_func(queries, prompts, labels):\n    return [BONUS] * len(queries)\n"
    )
    assert call(load(path), INPUTS, path).rewards[0].parts == {"function": 7.0}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_package_anywhere", "cannot be imported:(.|\n)*no_such_package_anywhere"),
        ("def reward_func(:", "cannot be imported:(.|\n)*SyntaxError"),
        ("x = 1", "has no function reward_func"),
        ("reward_func = 3", "has no function reward_func"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path, source, message):
    with pytest.raises(ValueError, match=message):
        load(written(tmp_path, source))


def test_a_missing_file_and_a_wrong_ending_are_named(tmp_path):
    with pytest.raises(ValueError, match="is not a file"):
        load(tmp_path / "absent.py")
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(ValueError, match=r"must end in \.py"):
        load(tmp_path / "mine.txt")
