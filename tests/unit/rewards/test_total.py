"""The sum of all rewards: a real pool, servers of this machine, and reward models that are functions."""

import json

import pytest
import torch
from loopback import loopback, send

from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.rewards.components import component_weights
from lmm_r1_mega.rewards.total import rewards_of
from lmm_r1_mega.rewards.workers.pool import RewardInput, RewardPool
from lmm_r1_mega.schema import Completion, Prompt, Sample, Score

LOCAL = {"workers": 1}


def sample(text: str, answer: object = "3") -> Sample:
    response = f"<think> hm </think> <answer> $\\boxed{{{text}}}$ </answer>"
    prompt = Prompt("id", "file", "Q: ", (1,), (1,), None, answer)
    return Sample(prompt, Completion((1,), torch.tensor([2]), torch.zeros(1), response, "stop", 0))


@pytest.fixture(scope="module")
def pool():
    with RewardPool(RewardSettings(**LOCAL)) as opened:
        yield opened


def by_length(handler, body, number):
    send(handler, {"rewards": [len(query) for query in body["query"]], "letters": [query.count("3") for query in body["query"]]})


def test_servers_and_models_and_rules_are_summed(pool):
    with loopback(by_length) as server:
        settings = RewardSettings(
            weights={"accuracy": 1.0, "format": 0.5, "remote": 0.01, "model/a": 10.0},
            remote={"urls": [server.url]},
            models={"a": "folder", "b": "folder"},
            **LOCAL,
        )
        samples = [sample("3"), sample("444")]
        rewards = rewards_of(settings, pool, models=lambda given: {"a": [0.1, 0.2], "b": [1.0, -1.0]})
        scores = rewards.score(samples)
    length = len("Q: " + samples[0].completion.text)
    assert scores[0] == Score(
        pytest.approx(1.0 + 0.5 + 0.01 * length + 1.0 + 1.0),
        {"format": 1.0, "accuracy": 1.0, "model/a": 0.1, "model/b": 1.0, "remote": float(length), "remote/letters": 1.0},
    )
    assert scores[1].reward == pytest.approx(0.0 + 0.5 + 0.01 * (length + 2) + 2.0 - 1.0)


def test_a_server_that_is_gone_leaves_samples_invalid_and_evaluation_untouched(pool):
    settings = RewardSettings(remote={"urls": ["http://127.0.0.1:9"], "budget_s": 0.2}, **LOCAL)
    rewards = rewards_of(settings, pool)
    [score] = rewards.score([sample("3")])
    assert score == Score(None, {"format": 1.0, "accuracy": 1.0}, "remote: connection failed")
    assert rewards.local().score([sample("3")]) == [Score(1.5, {"format": 1.0, "accuracy": 1.0})]


def test_what_a_model_cannot_score_is_invalid(pool):
    rewards = rewards_of(RewardSettings(models={"a": "f"}, **LOCAL), pool, models=lambda given: {"a": [None, float("nan"), 1.0]})
    assert [one.invalid for one in rewards.score([sample("3")] * 3)] == ["model/a: too long", "model/a: not a finite number", None]


WILD = 1e30


def test_a_number_that_float32_cannot_learn_from_is_no_reward_whichever_source_says_it(tmp_path):
    path = tmp_path / "wild.py"
    worth = f"{{'3': {WILD}, '4': float('inf'), '5': -1e6}}"
    path.write_text(
        f"def reward_func(queries, prompts, labels):\n    return [{worth}[query[query.index('{{') + 1]] for query in queries]\n"
    )

    def wild(handler, body, number):
        send(handler, {"rewards": [WILD, -1e6, 1.0]} if "query" in body else {"choices": [{"message": {"content": f"Score: {WILD}"}}]})

    samples = [sample("3"), sample("4"), sample("5")]
    with loopback(wild) as server:
        sources = {
            "function": {"function": path},
            "remote": {"remote": {"urls": [server.url], "budget_s": 2.0}},
            "judge": {"judge": {"urls": [server.url], "model": "m", "prompt": "{response}"}},
            "model/a": {"models": {"a": "f"}},
            "accuracy": {"weights": {"accuracy": WILD}},
        }
        found = {}
        for name, source in sources.items():
            settings = RewardSettings(**{"weights": {"format": 0.0}, **source}, **LOCAL)
            with RewardPool(settings) as pool:
                models = (lambda given: {"a": [WILD, float("nan"), 1.0]}) if "models" in source else None
                found[name] = rewards_of(settings, pool, models=models).score(samples)
    beyond = "beyond 1,000,000"
    assert {name: [one.invalid for one in scores] for name, scores in found.items()} == {
        "function": [f"function: {beyond}", "function: not a finite number", None],
        "remote": [f"remote: {beyond}", None, None],
        "judge": [f"judge: {beyond}"] * 3,
        "model/a": [f"model/a: {beyond}", "model/a: not a finite number", None],
        "accuracy": [f"weighted sum: {beyond}", None, None],
    }
    assert all((one.reward is None) == bool(one.invalid) for scores in found.values() for one in scores)
    assert found["remote"][1].reward == -1e6 and WILD not in found["judge"][0].parts.values()


def test_a_wild_score_leaves_the_running_scale_alone(pool):
    rewards = rewards_of(RewardSettings(models={"a": "f"}, normalize=True, **LOCAL), pool, models=lambda given: {"a": [1.0, WILD, 3.0]})
    rewards.score([sample("3")] * 3)
    assert rewards.state() == {"a": {"count": 2, "mean": 2.0, "squares": 2.0}}


def test_scores_are_normalised_with_all_so_far_and_go_on_after_a_checkpoint(pool):
    settings = RewardSettings(models={"a": "f"}, normalize=True, **LOCAL)
    steps = iter([[1.0, 2.0, None, 6.0], [5.0, 1.0, 1.0, 1.0]] * 2)

    def models(given):
        return {"a": next(steps)}

    whole = rewards_of(settings, pool, models=models)
    samples = [sample(str(i)) for i in range(4)]
    first = whole.score(samples)
    assert [one.parts.get("model/a/raw") for one in first] == [1.0, 2.0, None, 6.0]
    assert [one.parts.get("model/a") for one in first] == [-2 / 7**0.5, -1 / 7**0.5, None, 3 / 7**0.5]
    state = json.loads(json.dumps(whole.state()))
    after = whole.score(samples)
    resumed = rewards_of(settings, pool, models=models)
    resumed.restore(state)
    next(steps)
    assert resumed.score(samples) == after
    assert resumed.state() == whole.state() != state


def test_an_error_of_a_source_reaches_the_caller(pool):
    def broken(given):
        raise RuntimeError("reward model a died")

    with pytest.raises(RuntimeError, match="reward model a died"):
        rewards_of(RewardSettings(models={"a": "f"}, **LOCAL), pool, models=broken).score([sample("3")])


def test_components_with_a_setting_of_their_own_count_unless_the_weights_say_otherwise():
    settings = RewardSettings(
        weights={"remote": 0.0},
        remote={"urls": ["http://localhost:1"]},
        judge={"urls": ["http://localhost:2/v1"], "model": "m"},
        models={"a": "f"},
    )
    assert component_weights(settings) == {"remote": 0.0, "judge": 1.0, "model/a": 1.0}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": {"remote": 1.0}}, "reward.remote.urls is empty"),
        ({"weights": {"judge": 1.0}}, "reward.judge.urls is empty"),
        ({"weights": {"model/b": 1.0}, "models": {"a": "f"}}, "no component 'model/b', fix: use format, accuracy, .*model/a"),
    ],
)
def test_weights_of_what_is_not_set_up_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        component_weights(RewardSettings(**settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"remote": {"urls": ["https://user:hunter2@example.org/"]}}, "LMM_R1_REWARD_TOKEN"),
        ({"remote": {"urls": ["ftp://example.org/"]}}, "is no address"),
        ({"remote": {"urls": ["http://me:hunter2@example.org/"]}}, "example.org has a user or password in it, .*set LMM_R1_REWARD_TOKEN"),
        (
            {"judge": {"urls": ["http://example.org/v1?api-key=hunter2"], "model": "m"}},
            "example.org has api-key in it, .* or LMM_R1_JUDGE_KEY",
        ),
        ({"remote": {"urls": ["example.org:80"]}}, "is no address"),
        ({"remote": {"urls": ["http://example.org:99999/"]}}, "[Pp]ort"),
        ({"remote": {"urls": ["http://example.org/a b"]}}, "is no address"),
        ({"remote": {"urls": ["http://example.org/\r\nX: y"]}}, "is no address"),
        ({"remote": {"urls": ["http://example.org/#part"]}}, "is no address"),
        ({"judge": {"urls": ["http://localhost/v1"]}}, "reward.judge.model is empty"),
        ({"judge": {"prompt": "{prompt}"}}, r"write \{response\}"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        RewardSettings(**settings)


def test_a_run_alone_has_reward_models(pool):
    with pytest.raises(ValueError, match="beside a trainer alone"):
        rewards_of(RewardSettings(models={"a": "f"}), pool)


def test_responses_without_a_sample_are_scored_by_servers_too(pool):
    with loopback(by_length) as server:
        rewards = rewards_of(RewardSettings(weights={"format": 1.0}, remote={"urls": [server.url]}, **LOCAL), pool)
        assert rewards.score_texts([RewardInput("abc", 3, "Q")])[0].reward == 4.0
