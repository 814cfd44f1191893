"""Weights from GPU to GPU by vLLM's own engines: CUDA IPC where trainer and engine share GPUs, NCCL where they do not.

Written against vLLM 0.32. Integrity is the transport's; digests are taken on the host path only.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, Literal

from torch import Tensor
from vllm.distributed.weight_transfer.base import ParamMeta, TrainerInitInfo, WeightSource
from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory
from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo
from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

from lmm_r1_mega.config import RolloutSettings
from lmm_r1_mega.rollout.transfer.client import Export, SyncClient


class ExportSource(WeightSource):
    """The trainer's export as vLLM reads it, any number of times."""

    def __init__(self, export: Export) -> None:
        self._export = export
        self._metadata: list[ParamMeta] | None = None

    def metadata(self) -> list[ParamMeta]:
        """Names, dtypes and shapes; the first call is a pass of the collective export."""
        if self._metadata is None:
            self._metadata = [ParamMeta(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in self._export()]
        return self._metadata

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        return iter(self._export())

    def largest_bytes(self) -> int:
        """Of any single tensor."""
        return max(meta.dtype.itemsize * _numel(meta.shape) for meta in self.metadata())


class AcceleratorSender:
    """A `WeightSender` on GPUs; every rank of the trainer makes it, collectively."""

    def __init__(
        self, export: Export, client: SyncClient, *, settings: RolloutSettings, backend: Literal["ipc", "nccl"], rank: int, host: str
    ) -> None:
        """Meet the engines. With `ipc` the export must yield whole tensors on every rank, each on its own GPU."""
        if settings.verify_weights == "always":
            raise ValueError("rollout.verify_weights always needs the shared memory of a CPU run: set it to auto or never on GPUs")
        source = ExportSource(export)
        self._client = _VersionedClient(client)
        buffer_bytes = max(settings.bucket_mib * 2**20, source.largest_bytes())
        agreement = _ipc(rank, buffer_bytes) if backend == "ipc" else _nccl(rank, buffer_bytes, settings, host)
        self._engine = WeightTransferTrainerFactory.trainer_init(agreement, client=self._client, source=source)

    def send(self, version: int) -> None:
        """See `WeightSender.send`."""
        self._client.version = version
        self._engine.send_weights()

    def close(self) -> None:
        self._engine.shutdown()


class _VersionedClient:
    """vLLM's trainer classes finish an update without a number: this puts ours in."""

    def __init__(self, client: SyncClient) -> None:
        self._client = client
        self.version = 0

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        self._client.init_weight_transfer_engine(init_info)

    def start_weight_update(self) -> None:
        self._client.start_weight_update()

    def update_weights(self, update_info: Any) -> None:
        self._client.update_weights(update_info)

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._client.finish_weight_update(self.version)


def _ipc(rank: int, buffer_bytes: int) -> TrainerInitInfo:
    return IPCTrainerInitInfo(rank=rank, packed=True, packed_buffer_size_bytes=buffer_bytes)


def _nccl(rank: int, buffer_bytes: int, settings: RolloutSettings, host: str) -> TrainerInitInfo:
    """NCCL rank 0 is the trainer's rank 0, the engines' workers follow (`client.init_info_of_engine`)."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    num_workers = settings.engines * settings.tensor
    return NCCLTrainerInitInfo(host, port, 1 + num_workers, packed=True, packed_buffer_size_bytes=buffer_bytes, rank=rank)


def _numel(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
