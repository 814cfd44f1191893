"""A checkpoint of a stranger is data: nothing that its files say is run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from engine_cases import Case, make_model, start_engine
from spawn import spawn


class Code:
    """A pickle of it makes a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._folder),)


def load_index_with_code(model: Path, folder: Path, trace: Path) -> str:
    engine = start_engine(model, Case())
    engine.save(folder)
    (folder / ".metadata").write_bytes(pickle.dumps(Code(trace)))
    with pytest.raises(ValueError) as caught:
        engine.load(folder)
    return str(caught.value)


def load_object_with_code(model: Path, folder: Path, trace: Path) -> str:
    engine = start_engine(model, Case())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "get_rng_state", lambda: Code(trace))
        engine.save(folder)
    with pytest.raises(ValueError) as caught:
        engine.load(folder)
    return str(caught.value)


@pytest.mark.parametrize(
    ("attack", "refusal"), [(load_index_with_code, "do not trust"), (load_object_with_code, "cannot be loaded")], ids=["index", "object"]
)
def test_code_is_not_run(tmp_path: Path, attack, refusal: str) -> None:
    model, trace = make_model(tmp_path / "model"), tmp_path / "trace"
    [message] = spawn(attack, 1, model, tmp_path / "saved", trace)
    assert refusal in message
    assert not trace.exists()
