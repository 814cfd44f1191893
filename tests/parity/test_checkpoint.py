"""A run that is saved and loaded is the unbroken run; another layout reads the same model; an export is the folder it came from."""

from __future__ import annotations

import multiprocessing
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_cases import POLICY_LOSS, Case, make_model, make_sequences, policy_targets, start_engine
from safetensors.torch import load_file
from spawn import spawn

from lmm_r1_mega.convert.checkpoints import megatron_to_hf
from lmm_r1_mega.schema import UpdateReport
from lmm_r1_mega.training.engine import TrainEngine
from lmm_r1_mega.training.optimizer_state import whole_states

LAYOUTS = {
    "one rank": Case(),
    "tensor and pipeline": Case(tensor=2, pipeline=2),
    "split optimizer": Case(data=2),
    "whole optimizers": Case(data=2, distributed_optimizer=False),
    "master copies, one rank": Case(precision="bf16"),
    "master copies, split": Case(data=2, precision="bf16"),
    "master copies, whole": Case(tensor=2, distributed_optimizer=False, precision="bf16"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), tied=True)


def updates(engine: TrainEngine, model: Path, case: Case, count: int) -> list[UpdateReport]:
    targets = policy_targets(make_sequences(model))
    return [engine.update_policy([[targets[i] for i in row] for row in case.own_rows()], POLICY_LOSS)[0] for _ in range(count)]


def exported(engine: TrainEngine) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in engine.export.tensors()}


def unbroken(model: Path, case: Case, folder: Path) -> tuple[Any, ...]:
    """Four steps, with a checkpoint on the way that must not disturb them."""
    engine = start_engine(model, case)
    before = updates(engine, model, case, 2)
    engine.save(folder)
    children = len(multiprocessing.active_children())
    return before + updates(engine, model, case, 2), exported(engine) | {"random numbers": torch.rand(4)}, children


def second_half(model: Path, case: Case, folder: Path) -> tuple[Any, ...]:
    engine = start_engine(model, case)
    updates(engine, model, case, 1)  # whatever the engine did before must not matter
    torch.rand(1)
    engine.load(folder)
    return updates(engine, model, case, 2), exported(engine) | {"random numbers": torch.rand(4)}


@pytest.mark.parametrize("case", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_two_and_two_steps_are_four(model: Path, tmp_path: Path, case: Case) -> None:
    whole = spawn(unbroken, case.num_ranks, model, case, tmp_path / "saved")
    halves = spawn(second_half, case.num_ranks, model, case, tmp_path / "saved")
    for (reports, _, children), (resumed, _) in zip(whole, halves, strict=True):
        assert resumed == reports[2:]
        assert children == 0
    weights, resumed_weights = whole[0][1], halves[0][1]
    assert list(weights) == list(resumed_weights)
    for name, tensor in weights.items():
        assert torch.equal(tensor, resumed_weights[name]), name


@pytest.fixture(scope="module")
def spread_run(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[UpdateReport]]:
    """A checkpoint written by four ranks, and the reports of the run that wrote it."""
    folder = tmp_path_factory.mktemp("spread") / "saved"
    return folder, spawn(unbroken, 4, model, Case(tensor=2, pipeline=2), folder)[0][0]


@pytest.mark.parametrize("case", [Case(), Case(tensor=2), Case(pipeline=2, data=2)], ids=["one rank", "tensor", "pipeline and data"])
def test_another_layout_goes_on(model: Path, spread_run: tuple[Path, list[UpdateReport]], case: Case) -> None:
    folder, expected = spread_run
    for reports, _ in spawn(second_half, case.num_ranks, model, case, folder):
        for report, wanted in zip(reports, expected[2:], strict=True):
            assert report.loss == pytest.approx(wanted.loss, rel=1e-5)
            assert report.grad_norm == pytest.approx(wanted.grad_norm, rel=1e-4)
            assert report.learning_rate == wanted.learning_rate


def save_before_any_step(model: Path, case: Case, folder: Path) -> tuple[list[UpdateReport], ...]:
    engine = start_engine(model, case)
    engine.save(folder)
    first = updates(engine, model, case, 2)
    engine.load(folder)
    return first, updates(engine, model, case, 2)


@pytest.mark.parametrize("case", [Case(), Case(distributed_optimizer=False)], ids=["split optimizer", "whole optimizer"])
def test_checkpoint_before_the_first_step(model: Path, tmp_path: Path, case: Case) -> None:
    [(first, again)] = spawn(save_before_any_step, 1, model, case, tmp_path / "saved")
    assert first == again


def load_nothing(model: Path, folder: Path) -> str:
    engine = start_engine(model, Case())
    with pytest.raises(ValueError, match="not a complete checkpoint") as caught:
        engine.load(folder)
    return str(caught.value)


def copied_for_a_checkpoint(model: Path, case: Case) -> int:
    """Bytes of the optimizer that a checkpoint needs a second time."""
    engine = start_engine(model, case)
    own = {
        tensor.untyped_storage().data_ptr()
        for part in engine._optimizer.chained_optimizers
        for state in part.optimizer.state.values()
        for tensor in state.values()
    }
    states = whole_states(engine._optimizer, engine._module)
    tensors = [tensor for kinds in states.values() for tensor in kinds.values()]
    assert len(tensors) == 2 * len(states) > 0
    return sum(tensor.nbytes for tensor in tensors if tensor.untyped_storage().data_ptr() not in own)


@pytest.mark.parametrize("case", [Case(tensor=2), Case(tensor=2, distributed_optimizer=False)])
def test_a_checkpoint_needs_no_second_optimizer(model: Path, case: Case) -> None:
    assert spawn(copied_for_a_checkpoint, 2, model, case) == [0, 0]


def test_a_folder_without_checkpoint_is_named(model: Path, tmp_path: Path) -> None:
    assert str(tmp_path) in spawn(load_nothing, 1, model, tmp_path)[0]


def write_to_a_small_disk(model: Path, folder: Path) -> str:
    engine = start_engine(model, Case())
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**17, resource.RLIM_INFINITY))
    with pytest.raises(RuntimeError) as caught:
        engine.save(folder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert not (folder / "metadata.json").exists()
    engine.save(folder.with_name("again"))
    return str(caught.value)


def test_a_failed_write_is_an_error_and_no_checkpoint(model: Path, tmp_path: Path) -> None:
    [message] = spawn(write_to_a_small_disk, 1, model, tmp_path / "saved")
    assert str(tmp_path / "saved") in message


def reloaded(model: Path, folder: Path) -> dict[str, torch.Tensor]:
    engine = start_engine(model, Case())
    engine.load(folder)
    return exported(engine)


def test_the_converter_reads_a_checkpoint_of_training(model: Path, tmp_path: Path, spread_run: tuple[Path, list[UpdateReport]]) -> None:
    [expected] = spawn(reloaded, 1, model, spread_run[0])
    megatron_to_hf(spread_run[0], tmp_path / "hf", source=model)
    converted = load_file(tmp_path / "hf" / "model.safetensors")
    assert set(converted) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(tensor, converted[name]), name


def export_at_once(model: Path, case: Case) -> dict[str, torch.Tensor]:
    return exported(start_engine(model, case))


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("case", [Case(), Case(tensor=2, pipeline=2), Case(data=2)], ids=["one rank", "tensor and pipeline", "data"])
def test_export_is_the_folder(tmp_path: Path, case: Case, tied: bool) -> None:
    folder = make_model(tmp_path, tied=tied)
    expected = load_file(folder / "model.safetensors")
    first, *others = spawn(export_at_once, case.num_ranks, folder, case)
    assert set(first) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(first[name], tensor), name
        for other in others:
            assert other[name].is_meta and other[name].shape == tensor.shape


def export_folder(model: Path, case: Case, folder: Path) -> list[UpdateReport]:
    engine = start_engine(model, case)
    updates(engine, model, case, 2)
    engine.export_hf(folder)
    return updates(engine, model, case, 1)


def go_on_from_folder(folder: Path, model: Path) -> float:
    engine = start_engine(folder, Case())
    return updates(engine, model, Case(), 1)[0].loss


def test_an_exported_folder_is_the_trained_model(model: Path, tmp_path: Path) -> None:
    case = Case(tensor=2, pipeline=2)
    reports = spawn(export_folder, case.num_ranks, model, case, tmp_path / "hf")[0]
    names = {path.name for path in (tmp_path / "hf").iterdir()}
    assert names == {path.name for path in model.iterdir() if path.is_file()}
    assert spawn(go_on_from_folder, 1, tmp_path / "hf", model) == [pytest.approx(reports[0].loss, rel=1e-5)]
