"""The trial of rewards before a run, and the watch over its steps."""

import logging

import pytest
import torch
from loopback import loopback, send

from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.driver.unscored import ScoringWatch, try_reward_models, try_text_rewards
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.rewards.workers.pool import RewardPool
from lmm_r1_mega.schema import Completion, Prompt, Sample, Score, Scored

PROMPT = Prompt("p", "s", "Q: ", (1,), (1,), None, "3")
SAMPLES = [Sample(PROMPT, Completion((1,), torch.tensor([5]), torch.zeros(1), "<think> 1 + 2 </think><answer> 3 </answer>", "stop", 0))] * 4


def step(*reasons: str | None) -> list[Scored]:
    return [Scored(SAMPLES[0], Score(None if reason else 1.0, {}, reason)) for reason in reasons]


def watch(share: float = 1.0, steps: int = 9) -> ScoringWatch:
    return ScoringWatch(max_invalid_share=share, num_steps=steps)


def test_two_steps_in_a_row_without_a_reward_end_the_run():
    watched = watch()
    for number, reasons in enumerate([("a", "a"), ("a", None), ("a", "b")]):
        watched.check(number, step(*reasons))
    with pytest.raises(BadData, match=r"step 4: 3 of 3 samples have no reward \(2 x timeout, 1 x b\), as in the step before: nothing"):
        watched.check(3, step("timeout", "b", "timeout"))


def test_the_only_step_of_a_run_must_train_something():
    watch(steps=1).check(0, step(None, "a"))
    with pytest.raises(BadData, match=r"step 1: 2 of 2 samples have no reward"):
        watch(steps=1).check(0, step("a", "a"))


def test_more_invalid_samples_than_the_setting_allows_end_the_run_and_truncated_ones_do_not_count(caplog):
    watch(0.5).check(0, step("a", "a", None, None))
    watch(0.0).check(0, step("truncated", "truncated", "truncated", None))
    assert [one.getMessage() for one in caplog.records] == ["step 1: 3 of 4 samples have no reward (3 x truncated)"]
    with pytest.raises(BadData, match=r"step 1: 3 of 4 .* \(3 x a\), more than reward.max_invalid_share 0.5: fix"):
        watch(0.5).check(0, step("a", "a", "a", None))


def test_most_samples_without_a_reward_are_worth_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        watch().check(4, step("a", "a", None))
    assert "step 5: 2 of 3 samples have no reward (2 x a)" in caplog.text


def judged_as(text: str):
    return lambda handler, body, number: send(handler, {"choices": [{"message": {"content": text}}]})


def tried(settings: RewardSettings) -> None:
    with RewardPool(settings) as pool:
        try_text_rewards(settings, pool, SAMPLES)


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (judged_as("Well done.\nScore: 1"), None),
        (judged_as("I like it."), "judge: no score in the reply"),
        (judged_as("Score: 7"), "judge: score is not between 0 and 1"),
        (lambda handler, body, number: send(handler, {}, status=401), "judge: status 401"),
    ],
)
def test_a_judge_is_tried(reply, problem):
    with loopback(reply) as server:
        settings = RewardSettings(judge={"urls": [server.url], "model": "m"}, workers=1)
        if problem is None:
            tried(settings)
        else:
            with pytest.raises(ValueError, match=rf"score none of 4 right answers .* \(4 x {problem}\)"):
                tried(settings)
    asked = server.bodies[0]["messages"][0]["content"]
    assert "Q: " in asked and "<answer> 3 </answer>" in asked and len(server.bodies) >= 4


def test_a_source_that_scores_one_of_the_trials_may_go_on():
    def gaps(handler, body, number):
        send(handler, {"rewards": [None, None, None, 1.0]})

    with loopback(gaps) as server:
        tried(RewardSettings(remote={"urls": [server.url]}, workers=1))


def test_reward_models_are_tried():
    try_reward_models(lambda samples: {"a": [None, 1.0, None, None]}, SAMPLES)
    with pytest.raises(ValueError, match="reward model b scores none of 4"):
        try_reward_models(lambda samples: {"a": [1.0] * 4, "b": [None, float("nan"), None, None]}, SAMPLES)
