"""The training engine on one GPU: the identities before the first update, learning, and going on from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.gpu


CASES = [("fp32", "local"), ("bf16", "local"), ("bf16", "transformer_engine"), ("fp8", "transformer_engine")]


@pytest.mark.parametrize(("precision", "layers"), CASES)
def test_first_ratio_learning_and_resume(tmp_path: Path, use_layers: Callable[[str], None], precision: str, layers: str) -> None:
    from engine_cases import POLICY_LOSS, Case, make_model, make_sequences, policy_targets

    from lmm_r1_mega.training import parallel
    from lmm_r1_mega.training.engine import TrainEngine

    use_layers(layers)
    model, case = make_model(tmp_path / "model"), Case(precision=precision)
    parallel.initialize(case.config(model).layout, rank=0, rendezvous=f"file://{tmp_path}/rendezvous")
    try:
        engine = TrainEngine(model, role="policy", config=case.config(model), total_steps=8)
        sequences = make_sequences(model)
        [stats] = engine.logprobs([sequences], temperature=POLICY_LOSS.temperature)
        targets = [
            replace(target, response_old_logprobs=one.response_logprobs, response_reference_logprobs=one.response_logprobs)
            for target, one in zip(policy_targets(sequences), stats, strict=True)
        ]
        first, _ = engine.update_policy([targets], POLICY_LOSS)
        assert first.metrics["ratio/mean"] == 1.0 and first.metrics["kl"] == 0.0
        engine.save(tmp_path / "saved")
        going_on = [engine.update_policy([targets], POLICY_LOSS)[0].loss for _ in range(2)]
        engine.load(tmp_path / "saved")
        again = [engine.update_policy([targets], POLICY_LOSS)[0].loss for _ in range(2)]
        assert again == pytest.approx(going_on, rel=1e-3)
        assert going_on[1] < first.loss
        assert torch.isfinite(torch.tensor(going_on)).all()
    finally:
        parallel.shutdown()


def first_updates(model: Path) -> list[float]:
    """Loss and gradient norm of two updates: of ratios of tokens, then of whole responses."""
    from engine_cases import POLICY_LOSS, RESPONSE_LOSS, Case, make_sequences, policy_targets, start_engine

    engine, targets = start_engine(model, Case()), policy_targets(make_sequences(model))
    reports = [engine.update_policy([targets], loss)[0] for loss in (POLICY_LOSS, RESPONSE_LOSS)]
    return [number for report in reports for number in (report.loss, report.grad_norm)]


def test_updates_equal_those_of_a_cpu(tmp_path: Path, one_rank: None, use_layers: Callable[[str], None], monkeypatch) -> None:
    from engine_cases import make_model
    from spawn import spawn

    use_layers("local")
    model = make_model(tmp_path / "model")
    here = first_updates(model)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    [on_cpu] = spawn(first_updates, 1, model)
    assert here == pytest.approx(on_cpu, rel=1e-4)
