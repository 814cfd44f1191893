"""Figures of a held-out file by hand."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lmm_r1_mega.driver.evaluate import summarize
from lmm_r1_mega.driver.step_metrics import SampleAccounting, rollout_rows, sample_metrics, update_metrics
from lmm_r1_mega.errors import SamplesLost
from lmm_r1_mega.schema import Completion, Prompt, Sample, Score, Scored, UpdateReport


def answer(prompt, accuracy, *, length=2, invalid=None, finish="stop", source="a"):
    question = Prompt(prompt, source, "q", (1,), (1,), None, "3")
    completion = Completion((1,), torch.full((length,), 5), torch.zeros(length), "text", finish, 0)
    parts = {} if invalid else {"format": 1.0, "accuracy": accuracy}
    return Scored(Sample(question, completion), Score(None if invalid else 0.5 + accuracy, parts, invalid))


SAMPLED = [
    answer("one", 1.0),
    answer("one", 0.0, length=4),
    answer("two", 0.0, finish="length", source="b"),
    answer("two", 0.0, invalid="timeout"),
]


def test_accuracy_pass_at_n_and_greedy():
    found = summarize(SAMPLED, [answer("one", 1.0), answer("two", 1.0)], samples=2, measure="accuracy")
    assert found.accuracy == 1 / 4
    assert found.pass_at_n == 1 / 2
    assert found.greedy == 1.0
    assert (found.mean_length, found.truncated) == (2.5, 0.25)
    assert (found.num_prompts, found.num_samples, found.num_invalid) == (2, 4, 1)


@given(st.lists(st.lists(st.sampled_from([None, 0.0, 0.3, 1.0]), min_size=3, max_size=3), min_size=1, max_size=5))
def test_pass_at_n_is_never_below_the_accuracy(groups):
    sampled = [
        answer(str(i), worth or 0.0, invalid=None if worth is not None else "timeout") for i, group in enumerate(groups) for worth in group
    ]
    found = summarize(sampled, sampled[::3], samples=3, measure="accuracy")
    assert found.pass_at_n >= found.accuracy - 1e-12


def test_a_masked_sample_that_could_be_judged_counts():
    masked = replace(answer("one", 0.0), score=Score(None, {"format": 0.0, "accuracy": 0.0}, "truncated"))
    found = summarize([answer("one", 1.0), masked], [answer("one", 1.0)], samples=2, measure="accuracy")
    assert (found.accuracy, found.num_invalid) == (0.5, 0)


def test_any_component_can_be_what_is_measured():
    found = summarize(SAMPLED[:2], SAMPLED[:1], samples=2, measure="format")
    assert (found.accuracy, found.pass_at_n, found.greedy) == (1.0, 1.0, 1.0)


def test_metrics_of_a_steps_samples():
    row = sample_metrics(SAMPLED, SampleAccounting(0, 4), trained=3)
    assert row["rewards/accuracy/mean"] == pytest.approx(1 / 3)
    assert row["reward/source/a"] == pytest.approx(1.0)
    assert row["reward/source/b"] == pytest.approx(0.5)
    assert row["samples/dispatched"] == row["samples/trained"] + row["samples/invalid"] == 4
    assert row["invalid/timeout"] == 1
    assert row["completions/clipped_ratio"] == 0.25
    assert (row["completions/mean_length_correct"], row["completions/mean_length_wrong"]) == (2, 3)


def test_lengths_by_verdict_need_a_verdict_on_accuracy():
    unjudged = replace(SAMPLED[0], score=Score(0.5, {"format": 1.0}))
    assert not [
        name for name in sample_metrics([unjudged], SampleAccounting(0, 1), trained=1) if name.startswith("completions/mean_length_")
    ]


def test_a_sample_that_vanishes_stops_the_run():
    with pytest.raises(SamplesLost, match="4 samples were asked for, 2 are trained, 1 have no verdict, 0 are dropped and 0 in flight"):
        sample_metrics(SAMPLED[1:], SampleAccounting(0, 4), trained=2)


def test_every_sample_is_somewhere():
    dropped = {"no_variance": [answer("x", 1.0), answer("x", 0.0, invalid="memory")], "left_over": [answer("y", 1.0), answer("y", 0.0)]}
    account = SampleAccounting(in_flight_before=6, dispatched=8, dropped=dropped, in_flight=6)
    row = sample_metrics(SAMPLED, account, trained=3)
    assert {name: value for name, value in row.items() if name.startswith(("samples/", "invalid/"))} == {
        "samples/dispatched": 8,
        "samples/trained": 3,
        "samples/invalid": 2,
        "samples/no_variance": 1,
        "samples/left_over": 2,
        "samples/in_flight": 6,
        "invalid/timeout": 1,
        "invalid/memory": 1,
    }
    for lost in (replace(account, in_flight=5), replace(account, dropped={}), replace(account, in_flight_before=7)):
        with pytest.raises(SamplesLost):
            sample_metrics(SAMPLED, lost, trained=3)


def test_updates_are_averaged_and_the_critics_named():
    first = {"entropy": 3.0, "ratio/min": 0.5, "ratio/max": 1.5}
    policy = [UpdateReport(1.0, 2.0, 0.1, first), UpdateReport(3.0, 4.0, 0.1, {"entropy": 5.0, "ratio/min": 0.75, "ratio/max": 2.0})]
    row = update_metrics(policy, [UpdateReport(7.0, 1.0, 0.2)])
    assert row == {
        "loss": 2.0,
        "grad_norm": 3.0,
        "learning_rate": pytest.approx(0.1),
        "entropy": 4.0,
        "ratio/min": 0.5,
        "ratio/max": 2.0,
    } | {
        "critic/loss": 7.0,
        "critic/grad_norm": 1.0,
        "critic/learning_rate": 0.2,
    }


def test_rows_of_the_sample_file_are_json_and_keep_what_was_said():
    row = rollout_rows(3, SAMPLED[3:], images={"two": ["images/a.png"]})[0]
    assert (row["step"], row["response"], row["reward"], row["invalid"]) == (3, "text", None, "timeout")
    assert row["images"] == ["images/a.png"]
