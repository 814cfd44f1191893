"""The Ray actor of a trainer rank; what it does is in training/."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.actor import ActorHandle

from lmm_r1_mega.algorithms.losses import PolicyLoss
from lmm_r1_mega.cluster.columns import Column
from lmm_r1_mega.cluster.environment import interface_of
from lmm_r1_mega.cluster.messages import MicrobatchSequences, TargetColumns, result_column, with_sequences
from lmm_r1_mega.cluster.supervise import wait_all
from lmm_r1_mega.config import Config
from lmm_r1_mega.models.device import this_device
from lmm_r1_mega.process import stacks
from lmm_r1_mega.rollout.transfer import LARGEST_BUCKET_BYTES, Follower, NamedTensors, SharedMemorySender, WeightSender, init_info_of_engine
from lmm_r1_mega.schema import PolicyTarget, Role, SFTTarget, UpdateReport, ValueTarget

if TYPE_CHECKING:
    from lmm_r1_mega.training.engine import TrainEngine


@dataclass(frozen=True)
class RankInfo:
    """Where a trainer rank stands."""

    data_rank: int
    returns_results: bool
    peak_flops: float | None
    """Operations a second of its device at best, where known."""


@dataclass(frozen=True)
class PolicyView:
    """Whose log-probabilities are asked for: of which weights, and of which distribution over the tokens."""

    temperature: float
    forbidden_ids: tuple[int, ...]
    snapshot: str | None = None
    """Name of a snapshot; None is the policy as it stands."""


class TrainWorker:
    """One Megatron rank; holds its share of the policy and, for PPO, of the critic."""

    def __init__(self, config: Config, rank: int) -> None:
        stacks.register(f"trainer rank {rank}")
        self._config = config
        self._rank = rank
        self._models: dict[Role, TrainEngine] = {}
        self._sender: WeightSender | None = None

    def rendezvous(self, *, on_one_machine: bool) -> str:
        """Where the ranks may meet: by a file that only this user can read, or on the network of the cluster."""
        if on_one_machine:
            return f"file://{tempfile.mkdtemp(prefix='lmm_r1_ranks_')}/rendezvous"
        host = ray.util.get_node_ip_address()
        with socket.socket() as probe:
            probe.bind((host, 0))
            return f"tcp://{host}:{probe.getsockname()[1]}"

    def join(self, rendezvous: str) -> RankInfo:
        """Meet the other ranks; collective."""
        from lmm_r1_mega.training import parallel  # the driver, which has this class too, is spared Megatron

        if interface := interface_of(ray.util.get_node_ip_address()):
            os.environ["GLOO_SOCKET_IFNAME"] = interface  # gloo listens there and nowhere else
        parallel.initialize(
            self._config.layout,
            rank=self._rank,
            rendezvous=rendezvous,
            seed=self._config.run.seed,
            timeout_s=self._config.cluster.step_timeout_s,
        )
        peak = this_device().peak_flops(this_device().precision(self._config.model.precision))
        return RankInfo(parallel.data_rank(), parallel.returns_results(), peak)

    def load(self, role: Role, path: Path, *, total_steps: int) -> None:
        """Build a model from a Hugging Face folder; collective."""
        from lmm_r1_mega.training.engine import TrainEngine

        self._models[role] = TrainEngine(path, role=role, config=self._config, total_steps=total_steps)

    def take_snapshot(self, name: str) -> None:
        self._models["policy"].take_snapshot(name)

    def logprobs(self, microbatches: MicrobatchSequences, view: PolicyView) -> Column | None:
        policy = self._models["policy"]
        with policy.weights(view.snapshot) if view.snapshot else nullcontext():
            found = policy.logprobs(microbatches.cut(), temperature=view.temperature, forbidden_ids=view.forbidden_ids)
        return None if found is None else result_column([[one.response_logprobs for one in microbatch] for microbatch in found])

    def values(self, microbatches: MicrobatchSequences) -> Column | None:
        return result_column(self._models["critic"].values(microbatches.cut()))

    def update_policy(
        self, microbatches: MicrobatchSequences, targets: TargetColumns, loss: PolicyLoss
    ) -> tuple[UpdateReport, Column | None]:
        report, before = self._models["policy"].update_policy(with_sequences(PolicyTarget, microbatches.cut(), targets), loss)
        return report, result_column(before)

    def update_values(self, microbatches: MicrobatchSequences, targets: TargetColumns, *, value_clip: float) -> UpdateReport:
        return self._models["critic"].update_values(with_sequences(ValueTarget, microbatches.cut(), targets), value_clip=value_clip)

    def update_sft(self, microbatches: MicrobatchSequences, targets: TargetColumns) -> UpdateReport:
        return self._models["policy"].update_sft(with_sequences(SFTTarget, microbatches.cut(), targets))

    def publish(self, engines: list[ActorHandle], *, version: int) -> None:
        """Send the policy's weights to the rollout engines; collective, rank 0 drives."""
        if self._sender is None:
            self._sender = self._open_sender(RolloutClient(engines, config=self._config))
        self._sender.send(version)

    def _open_sender(self, client: RolloutClient) -> WeightSender:
        """The sender that fits the devices and the placement; collective on GPUs."""
        settings, backend = self._config.rollout, this_device().weight_transfer(self._config.cluster.placement)

        def tensors() -> NamedTensors:
            return self._models["policy"].export.tensors(everywhere=backend == "ipc")

        if backend != "shm":
            from lmm_r1_mega.rollout.transfer.accelerator import AcceleratorSender  # needs CUDA

            host = ray.util.get_node_ip_address()
            return AcceleratorSender(tensors, client, settings=settings, backend=backend, rank=self._rank, host=host)
        if self._rank != 0:
            return Follower(tensors)
        return SharedMemorySender(
            tensors,
            client,
            bucket_bytes=min(settings.bucket_mib * 2**20, LARGEST_BUCKET_BYTES),
            digests=settings.verify_weights != "never",
            deadline_s=self._config.cluster.step_timeout_s,
        )

    def save(self, folders: Mapping[Role, Path]) -> None:
        for role, folder in folders.items():
            self._models[role].save(folder)

    def restore(self, folders: Mapping[Role, Path]) -> None:
        for role, folder in folders.items():
            self._models[role].load(folder)

    def export_hf(self, folder: Path) -> None:
        self._models["policy"].export_hf(folder)


class RolloutClient:
    """vLLM's weight-sync calls, made to every rollout actor at once."""

    def __init__(self, engines: list[ActorHandle], *, config: Config) -> None:
        self._engines = engines
        self._workers_per_engine = config.rollout.tensor
        self._timeout_s = config.cluster.step_timeout_s

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        infos = [init_info_of_engine(init_info, index=i, workers=self._workers_per_engine) for i in range(len(self._engines))]
        calls = {f"rollout engine {i}": self._engines[i].init_weight_transfer_engine.remote(info) for i, info in enumerate(infos)}
        wait_all(calls, doing="init_weight_transfer_engine", timeout_s=self._timeout_s)

    def start_weight_update(self) -> None:
        self._call("start_weight_update")

    def update_weights(self, update_info: dict[str, Any]) -> None:
        self._call("update_weights", update_info)

    def finish_weight_update(self, weight_version: int) -> None:
        self._call("finish_weight_update", weight_version)

    def _call(self, method: str, *args: Any) -> None:
        calls = {f"rollout engine {i}": getattr(engine, method).remote(*args) for i, engine in enumerate(self._engines)}
        wait_all(calls, doing=method, timeout_s=self._timeout_s)
