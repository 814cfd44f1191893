"""The four calls by which a trainer drives a weight update of the rollout engines, and what can go wrong in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from torch import Tensor

NamedTensors = Iterable[tuple[str, Tensor]]
Export = Callable[[], NamedTensors]
"""A pass over all weights under Hugging Face names; collective, every rank of the trainer iterates to the end."""


class SyncClient(Protocol):
    """Reaches one engine or many; every call returns when all of them have done it.

    `RolloutEngine` is one for itself; with Ray handles, `cluster` makes the calls on all actors. The names are vLLM's, so that
    its trainer classes can drive a client too.
    """

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """Tell the engines how the weights will come."""

    def start_weight_update(self) -> None:
        """From here to the finish the engines refuse to generate."""

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Load one bucket."""

    def finish_weight_update(self, weight_version: int) -> None:
        """Serve the new weights under this version, if all of them have come."""


def init_info_of_engine(init_info: dict[str, Any], *, index: int, workers: int) -> dict[str, Any]:
    """What a client of several engines tells engine `index`: with NCCL the `workers` processes of each have ranks of their own.

    Example: {"rank_offset": 1}, index 2, workers 4 -> {"rank_offset": 9}; infos without ranks stay as they are.
    """
    if "rank_offset" not in init_info:
        return init_info
    return {**init_info, "rank_offset": init_info["rank_offset"] + index * workers}


class WeightSyncError(RuntimeError):
    """A weight update failed; the engine serves nothing until a complete one."""


class CorruptTensorError(WeightSyncError):
    """A tensor's bytes are not those that were sent."""


class MissingTensorError(WeightSyncError):
    """An update ended before every tensor of the model had come."""


class UnknownTensorError(WeightSyncError):
    """A tensor came that the model does not have, or came twice."""


class TensorShapeError(WeightSyncError):
    """A tensor came in another shape than the model's."""


class SyncDeadlineError(WeightSyncError):
    """An engine did not answer in time."""
