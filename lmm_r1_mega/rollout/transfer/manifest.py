"""What a complete update consists of: the tensors of the Hugging Face folder that the engine was started from."""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open

from lmm_r1_mega.rollout.transfer.bucket import Entry
from lmm_r1_mega.rollout.transfer.client import MissingTensorError, TensorShapeError, UnknownTensorError

Shapes = dict[str, tuple[int, ...]]


def read_shapes(model_path: Path) -> Shapes:
    """Name and shape of every tensor of the folder, from the headers of its safetensors files."""
    shapes: Shapes = {}
    for file in sorted(model_path.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            shapes.update({name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()})  # noqa: SIM118 (not a dict)
    if not shapes:
        raise ValueError(f"model.path {model_path} holds no *.safetensors: save the model with transformers' save_pretrained")
    return shapes


class Ledger:
    """One update's account of the tensors that came."""

    def __init__(self, expected: Shapes) -> None:
        self._expected = expected
        self._open = set(expected)

    def enter(self, entry: Entry) -> None:
        """Account for one tensor, or say what is wrong with it."""
        shape = self._expected.get(entry.name)
        if shape is None:
            raise UnknownTensorError(
                f"tensor {entry.name} is not in the model: the trainer must export the names of the folder it was loaded from"
            )
        if entry.name not in self._open:
            raise UnknownTensorError(f"tensor {entry.name} came twice in one update: the export must yield every name once")
        if entry.shape != shape:
            raise TensorShapeError(f"tensor {entry.name} came in shape {list(entry.shape)}, the model has {list(shape)}")
        self._open.remove(entry.name)

    def close(self) -> None:
        """Raise where tensors are missing."""
        if self._open:
            names = sorted(self._open)
            listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            raise MissingTensorError(
                f"{len(names)} of {len(self._expected)} tensors did not come ({listed}): "
                f"the engine keeps refusing to generate until a complete update"
            )
