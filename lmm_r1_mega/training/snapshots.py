"""Named copies of the weights in host memory: the reference policy is one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Snapshots:
    """Copies of the trainable weights of this rank's shard; frozen weights never differ and are not copied."""

    def __init__(self, module: nn.Module) -> None:
        self._parameters = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        self._taken: dict[str, dict[str, Tensor]] = {}

    def take(self, name: str) -> None:
        """Keep the present weights under `name`, in place of what it held."""
        self._taken[name] = {key: parameter.detach().to("cpu", copy=True) for key, parameter in self._parameters.items()}

    @contextmanager
    def weights(self, name: str) -> Iterator[None]:
        """Within the context the model has the weights of the snapshot; afterwards its own again, bitwise.

        The two are exchanged tensor by tensor, so no third copy exists. No optimizer step may happen inside.

        Raises: ValueError where no snapshot has that name.
        """
        if name not in self._taken:
            raise ValueError(f"no snapshot is named {name!r}: take it first; there are {sorted(self._taken)}")
        self._exchange(self._taken[name])
        try:
            yield
        finally:
            self._exchange(self._taken[name])

    @torch.no_grad()
    def _exchange(self, snapshot: dict[str, Tensor]) -> None:
        for key, kept in snapshot.items():
            parameter = self._parameters[key]
            present = parameter.detach().to("cpu", copy=True)
            parameter.copy_(kept)
            kept.copy_(present)
