"""Loss, gradient and log-probabilities do not depend on how the work is spread: real processes, real collectives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from engine_cases import POLICY_LOSS, RESPONSE_LOSS, Case, make_model, make_sequences, ordered, policy_targets, start_engine
from spawn import spawn

ONE = Case()
LAYOUTS = {
    "tensor": Case(tensor=2),
    "tensor without sequence parallelism": Case(tensor=2, sequence_parallel=False),
    "pipeline": Case(pipeline=2),
    "data": Case(data=2),
    "data with whole optimizers": Case(data=2, distributed_optimizer=False),
    "tensor and pipeline": Case(tensor=2, pipeline=2),
    "tensor and data": Case(tensor=2, data=2),
    "one row": Case(rows=((0, 1, 2, 3, 4, 5, 6),)),
    "a row for each sequence": Case(rows=((6,), (5,), (4,), (3,), (2,), (1,), (0,))),
    "recompute": Case(recompute="full", tensor=2),
    "more data ranks than rows": Case(data=2, rows=((0, 1, 2, 3, 4, 5, 6),)),
}


TIED = ("tensor and pipeline", "data")
"""Layouts in which one matrix for embedding and output takes another way."""


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("untied"))


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("tied"), tied=True)


def three_updates(model: Path, case: Case) -> tuple[Any, ...]:
    """Log-probabilities before and reports of three steps, on every rank."""
    engine = start_engine(model, case)
    sequences = make_sequences(model)
    targets = policy_targets(sequences)
    before = ordered(case, engine.logprobs([[sequences[i] for i in row] for row in case.own_rows()], temperature=0.8))
    rows = [[targets[i] for i in row] for row in case.own_rows()]
    reports = [engine.update_policy(rows, loss)[0] for loss in (POLICY_LOSS, RESPONSE_LOSS, POLICY_LOSS)]
    return before, reports


@pytest.fixture(scope="module")
def untied_expected(untied: Path) -> tuple[Any, ...]:
    return spawn(three_updates, 1, untied, ONE)[0]


@pytest.fixture(scope="module")
def tied_expected(tied: Path) -> tuple[Any, ...]:
    return spawn(three_updates, 1, tied, ONE)[0]


@pytest.mark.parametrize("case", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_updates_equal_those_of_one_rank(untied: Path, untied_expected: tuple[Any, ...], case: Case) -> None:
    assert_equal(spawn(three_updates, case.num_ranks, untied, case), untied_expected)


@pytest.mark.parametrize("case", [LAYOUTS[name] for name in TIED], ids=TIED)
def test_updates_equal_those_of_one_rank_with_tied_embeddings(tied: Path, tied_expected: tuple[Any, ...], case: Case) -> None:
    assert_equal(spawn(three_updates, case.num_ranks, tied, case), tied_expected)


def assert_equal(results: list[tuple[Any, ...]], expected: tuple[Any, ...]) -> None:
    """Within what float32 leaves after sums in another order."""
    expected_before, expected_reports = expected
    before = {index: stat for found, _ in results for index, stat in found.items()}
    assert set(before) == set(expected_before)
    for index, stat in before.items():
        torch.testing.assert_close(stat.response_logprobs, expected_before[index].response_logprobs, rtol=1e-5, atol=2e-6)
        torch.testing.assert_close(stat.response_entropy, expected_before[index].response_entropy, rtol=1e-5, atol=2e-6)
    for _, reports in results:
        for report, wanted in zip(reports, expected_reports, strict=True):
            assert report.loss == pytest.approx(wanted.loss, rel=1e-5, abs=1e-6)  # its terms, up to 1, cancel
            assert report.grad_norm == pytest.approx(wanted.grad_norm, rel=1e-5)
            assert report.learning_rate == wanted.learning_rate
            assert report.metrics == pytest.approx(wanted.metrics, rel=1e-4, abs=1e-6)
