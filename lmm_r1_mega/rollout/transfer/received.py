"""One update's account: which of the model's tensors have come."""

from __future__ import annotations

from lmm_r1_mega.rollout.transfer.bucket import TensorEntry
from lmm_r1_mega.rollout.transfer.client import MissingTensorError, TensorShapeError, UnknownTensorError


class ReceivedTensors:
    """Compares what comes with the tensors of the Hugging Face folder that the engine was started from."""

    def __init__(self, expected: dict[str, tuple[int, ...]]) -> None:
        self._expected = expected
        self._open = set(expected)

    def enter(self, entry: TensorEntry) -> None:
        """Account for one tensor, or say what is wrong with it."""
        shape = self._expected.get(entry.name)
        if shape is None:
            raise UnknownTensorError(
                f"tensor {entry.name} is not in the model: the trainer must export the names of the folder that the engine was started from"
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
                f"the engine refuses to generate until a complete update"
            )
