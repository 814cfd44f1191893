"""Figures of a held-out file by hand."""

import pytest
import torch

from lmm_r1_mega.errors import SamplesLost
from lmm_r1_mega.evaluate import summarize
from lmm_r1_mega.schema import Completion, Prompt, Sample, Score, Scored, UpdateReport
from lmm_r1_mega.step_metrics import rollout_rows, sample_metrics, update_metrics


def answer(prompt, accuracy, *, length=2, invalid=None, finish="stop", source="a"):
    question = Prompt(prompt, source, "q", (1,), (1,), (), None, "3")
    completion = Completion((1,), (5,) * length, torch.zeros(length), "text", finish, 0)
    parts = {} if invalid else {"format": 1.0, "accuracy": accuracy}
    return Scored(Sample(question, completion), Score(None if invalid else 0.5 + accuracy, parts, invalid))


SAMPLED = [
    answer("one", 1.0),
    answer("one", 0.0, length=4),
    answer("two", 0.0, finish="length", source="b"),
    answer("two", 0.0, invalid="timeout"),
]


def test_accuracy_pass_at_n_and_greedy():
    found = summarize(SAMPLED, [answer("one", 1.0), answer("two", 1.0)], samples=2)
    assert found.accuracy == pytest.approx(1 / 3)
    assert found.pass_at_n == 0.5
    assert found.greedy == 1.0
    assert (found.mean_length, found.truncated) == (2.5, 0.25)
    assert (found.num_prompts, found.num_samples, found.num_invalid) == (2, 4, 1)


def test_metrics_of_a_steps_samples():
    row = sample_metrics(SAMPLED, dispatched=4, trained=3)
    assert row["rewards/accuracy/mean"] == pytest.approx(1 / 3)
    assert row["reward/source/a"] == pytest.approx(1.0)
    assert row["reward/source/b"] == pytest.approx(0.5)
    assert row["samples/dispatched"] == row["samples/trained"] + row["samples/invalid"] == 4
    assert row["invalid/timeout"] == 1
    assert row["completions/clipped_ratio"] == 0.25


def test_a_sample_that_vanishes_stops_the_run():
    with pytest.raises(SamplesLost, match="4 samples were asked for, 2 are trained and 1 have no verdict"):
        sample_metrics(SAMPLED[1:], dispatched=4, trained=2)


def test_updates_are_averaged_and_the_critics_named():
    policy = [UpdateReport(1.0, 2.0, 0.1, {"entropy": 3.0}), UpdateReport(3.0, 4.0, 0.1, {"entropy": 5.0})]
    row = update_metrics(policy, [UpdateReport(7.0, 1.0, 0.2)])
    assert row == {"loss": 2.0, "grad_norm": 3.0, "learning_rate": pytest.approx(0.1), "entropy": 4.0} | {
        "critic/loss": 7.0,
        "critic/grad_norm": 1.0,
        "critic/learning_rate": 0.2,
    }


def test_rows_of_the_sample_file_are_json_and_keep_what_was_said():
    row = rollout_rows(3, SAMPLED[3:], images={"two": ["images/a.png"]})[0]
    assert (row["step"], row["response"], row["reward"], row["invalid"]) == (3, "text", None, "timeout")
    assert row["images"] == ["images/a.png"]
