"""What the driver relies on: exact identities before the first update, snapshots, critics, frozen towers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_cases import (
    POLICY_LOSS,
    Case,
    make_model,
    make_sequences,
    ordered,
    policy_targets,
    sft_targets,
    start_engine,
    value_targets,
)
from spawn import spawn

from lmm_r1_mega.errors import NotFinite
from lmm_r1_mega.schema import PolicyTarget, TokenStats, UpdateReport
from lmm_r1_mega.training import parallel
from lmm_r1_mega.training.engine import TrainEngine
from lmm_r1_mega.training.optimizer_state import whole_states

SPREAD = {"one rank": Case(), "tensor and pipeline": Case(tensor=2, pipeline=2), "data": Case(data=2)}
spread = pytest.mark.parametrize("case", SPREAD.values(), ids=SPREAD.keys())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


def first_update(model: Path, case: Case) -> UpdateReport:
    """The first step with old, reference and rollout log-probabilities by the engine itself, in the same rows."""
    engine = start_engine(model, case)
    sequences = make_sequences(model)
    rows = [[sequences[i] for i in row] for row in case.own_rows()]
    engine.take_snapshot("reference")
    stats = engine.logprobs(rows, temperature=POLICY_LOSS.temperature)
    with engine.weights("reference"):
        reference = engine.logprobs(rows, temperature=POLICY_LOSS.temperature)
    if not engine.returns_results:  # other ranks only need targets of the right shape
        blank = [[TokenStats(torch.zeros(s.response_length), torch.zeros(s.response_length)) for s in row] for row in rows]
        stats = reference = blank
    targets = [
        [
            PolicyTarget(s, torch.full((s.response_length,), 0.01), torch.ones(s.response_length), own.response_logprobs,
                         own.response_logprobs, other.response_logprobs)
            for s, own, other in zip(row, owns, others, strict=True)
        ]
        for row, owns, others in zip(rows, stats, reference, strict=True)
    ]  # fmt: skip
    return engine.update_policy(targets, POLICY_LOSS)[0]


@pytest.mark.parametrize(
    "case", [Case(), Case(pipeline=2), Case(recompute="full"), Case(data=2)], ids=["one", "pipeline", "recompute", "data"]
)
def test_before_an_update_the_ratio_is_one_and_the_kl_zero(model: Path, case: Case) -> None:
    for report in spawn(first_update, case.num_ranks, model, case):
        assert report.metrics["ratio/mean"] == 1.0
        assert report.metrics["kl"] == 0.0
        assert report.metrics["approx_kl"] == 0.0
        assert report.metrics["clip_ratio/region_mean"] == 0.0


def all_logprobs(engine: TrainEngine, model: Path, case: Case) -> list[list[TokenStats]] | None:
    sequences = make_sequences(model)
    return engine.logprobs([[sequences[i] for i in row] for row in case.own_rows()], temperature=1.0)


def train(engine: TrainEngine, model: Path, case: Case, count: int) -> list[UpdateReport]:
    targets = policy_targets(make_sequences(model))
    return [engine.update_policy([[targets[i] for i in row] for row in case.own_rows()], POLICY_LOSS)[0] for _ in range(count)]


def visit_snapshot(model: Path, case: Case) -> tuple[Any, ...]:
    engine = start_engine(model, case)
    before = all_logprobs(engine, model, case)
    engine.take_snapshot("reference")
    train(engine, model, case, 2)
    trained = all_logprobs(engine, model, case)
    with engine.weights("reference"):
        in_reference = all_logprobs(engine, model, case)
    back = all_logprobs(engine, model, case)
    return [ordered(case, stats) for stats in (before, trained, in_reference, back)], train(engine, model, case, 1)


def no_visit(model: Path, case: Case) -> list[UpdateReport]:
    return train(start_engine(model, case), model, case, 3)


@spread
def test_a_snapshot_is_visited_and_left_without_trace(model: Path, case: Case) -> None:
    results = spawn(visit_snapshot, case.num_ranks, model, case)
    undisturbed = spawn(no_visit, case.num_ranks, model, case)
    for ((before, trained, in_reference, back), last), reports in zip(results, undisturbed, strict=True):
        for index, stat in before.items():
            assert torch.equal(stat.response_logprobs, in_reference[index].response_logprobs)
            assert torch.equal(trained[index].response_logprobs, back[index].response_logprobs)
            assert not torch.equal(stat.response_logprobs, trained[index].response_logprobs)
        assert last == reports[2:]


def unknown_snapshot(model: Path) -> str:
    engine = start_engine(model, Case())
    engine.take_snapshot("reference")
    with pytest.raises(ValueError) as caught, engine.weights("refrence"):
        pass
    return str(caught.value)


def test_an_unknown_snapshot_is_named(model: Path) -> None:
    [message] = spawn(unknown_snapshot, 1, model)
    assert "'refrence'" in message and "['reference']" in message


def actor_and_critic(model: Path, case: Case) -> tuple[Any, ...]:
    """Both roles in one process, in turn, the critic at twice the policy's rate."""
    policy, config = start_engine(model, case), case.config(model)
    rate = {"learning_rate": 2 * config.optimizer.learning_rate}
    config = config.model_copy(update={"critic": config.critic.model_copy(update=rate)})
    critic = TrainEngine(model, role="critic", config=config, total_steps=8)
    sequences = make_sequences(model)
    targets = value_targets(sequences)
    rows = [[sequences[i] for i in row] for row in case.own_rows()]
    value_rows = [[targets[i] for i in row] for row in case.own_rows()]
    first = critic.values(rows)
    reports = []
    for _ in range(3):
        reports.append(critic.update_values(value_rows, value_clip=0.2))
        reports.extend(train(policy, model, case, 1))
    return ordered(case, first), reports, ordered(case, critic.values(rows))


@spread
def test_the_critic_starts_at_zero_and_learns_the_same_everywhere(model: Path, case: Case) -> None:
    [(_, expected, expected_values)] = spawn(actor_and_critic, 1, model, Case())
    assert expected[4].loss < expected[2].loss < expected[0].loss
    assert [critic.learning_rate / policy.learning_rate for critic, policy in zip(expected[::2], expected[1::2], strict=True)] == [2] * 3
    results = spawn(actor_and_critic, case.num_ranks, model, case)
    for first, reports, values in results:
        assert all(not value.any() for value in first.values())
        assert [report.loss for report in reports] == pytest.approx([report.loss for report in expected], rel=1e-5, abs=1e-6)
        assert [report.grad_norm for report in reports] == pytest.approx([report.grad_norm for report in expected], rel=1e-5)
        for index, value in values.items():
            torch.testing.assert_close(value, expected_values[index], rtol=1e-4, atol=1e-5)


def supervised(model: Path, case: Case, images: bool) -> tuple[Any, ...]:
    engine = start_engine(model, case)
    targets = sft_targets(make_sequences(model, images=images))
    before = {name: tensor.clone() for name, tensor in engine.export.tensors(everywhere=True)}
    reports = [engine.update_sft([[targets[i] for i in row] for row in case.own_rows()]) for _ in range(4)]
    after = {name: tensor.clone() for name, tensor in engine.export.tensors(everywhere=True)}
    return reports, {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize("images", [True, False], ids=["images", "text only"])
@pytest.mark.parametrize("freeze", [(), ("visual.*",)], ids=["trainable tower", "frozen tower"])
def test_text_and_images_with_a_trainable_or_frozen_tower(model: Path, images: bool, freeze: tuple[str, ...]) -> None:
    [(expected, changed)] = spawn(supervised, 1, model, Case(freeze=freeze), images)
    assert expected[3].loss < expected[0].loss
    assert expected[0].loss == pytest.approx(-expected[0].metrics["logprob"], rel=1e-6)
    biases = {name for name in changed if "visual." in name and name.endswith("bias")}  # without weight decay
    assert bool(biases) == (images and not freeze)
    spreading = Case(tensor=2, pipeline=2, freeze=freeze)
    for reports, moved in spawn(supervised, 4, model, spreading, images):
        assert [report.loss for report in reports] == pytest.approx([report.loss for report in expected], rel=1e-5, abs=1e-6)
        assert moved == changed


def moments_of_three_steps(model: Path, case: Case, grad_clip: float) -> tuple[float, list[float], list[float]]:
    """The gradient's norm, and after each of three steps with it the norms of AdamW's first moment and of the root of its second."""
    config = case.config(model)
    optimizer = config.optimizer.model_copy(update={"grad_clip": grad_clip, "learning_rate": 1e-9, "warmup_steps": 0})
    parallel.form_groups(case.config(model).layout)
    engine = TrainEngine(model, role="policy", config=config.model_copy(update={"optimizer": optimizer}), total_steps=8)
    first, second = [], []
    for _ in range(3):
        [report] = train(engine, model, case, 1)
        moments = whole_states(engine._optimizer, engine._module).values()
        first.append(sum(kinds["exp_avg"].double().square().sum().item() for kinds in moments) ** 0.5)
        second.append(sum(kinds["exp_avg_sq"].double().sum().item() for kinds in moments) ** 0.5)
    return report.grad_norm, first, second


@pytest.mark.parametrize("share", [0.1, 1.5, None], ids=["clipped", "below the limit", "no limit"])
def test_the_gradient_that_adamw_sees_is_clipped_to_the_setting(model: Path, share: float | None) -> None:
    """AdamW's first moment is (1 - beta1) g, then (1 - beta1^2) g, ...: its weights alone do not tell how long the gradient was."""
    [(norm, *_)] = spawn(moments_of_three_steps, 1, model, Case(), 0.0)
    limit = 0.0 if share is None else share * norm
    for found, first, second in spawn(moments_of_three_steps, 2, model, Case(data=2), limit):
        seen = min(found, limit) if limit else found
        assert found == pytest.approx(norm, rel=1e-4)
        assert first == pytest.approx([(1 - 0.9**step) * seen for step in (1, 2, 3)], rel=1e-4)
        assert second == pytest.approx([(1 - 0.95**step) ** 0.5 * seen for step in (1, 2, 3)], rel=1e-4)


def test_the_learning_rate_warms_up_from_the_first_step_on(model: Path) -> None:
    """Two warm steps of 1e-3, then the cosine."""
    [reports] = spawn(no_visit, 1, model, Case())
    falling = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 6))
    assert [report.learning_rate for report in reports] == pytest.approx([5e-4, 1e-3, 1e-3 * falling])


def absurd_update(model: Path) -> bool:
    engine = start_engine(model, Case())
    before = {name: tensor.clone() for name, tensor in engine.export.tensors()}
    targets = policy_targets(make_sequences(model))
    targets[0].response_advantages.fill_(float("nan"))
    with pytest.raises(NotFinite, match="the loss is nan"):
        engine.update_policy([targets], POLICY_LOSS)
    return all(torch.equal(tensor, before[name]) for name, tensor in engine.export.tensors())


def ruined(model: Path) -> bool:
    engine = start_engine(model, Case())
    engine._settings = engine._settings.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(NotFinite, match=r"the update made a weight of \S+ \S+e\+(29|30)"):
        engine.update_policy([policy_targets(make_sequences(model))], POLICY_LOSS)
    return True


def test_an_update_that_ruins_the_weights_says_so(model: Path) -> None:
    assert spawn(ruined, 1, model) == [True]


def test_a_gradient_that_is_not_finite_changes_nothing(model: Path) -> None:
    assert spawn(absurd_update, 1, model) == [True]
