"""The trainer as the driver sees it: sequences in, results in the same order out, wherever the ranks are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import ray
from jaxtyping import Float
from ray.actor import ActorHandle
from torch import Tensor

from lmm_r1_mega.algorithms.losses import PolicyLoss
from lmm_r1_mega.batching.balance import assign_microbatches
from lmm_r1_mega.batching.sharing import bundle, num_new_tokens
from lmm_r1_mega.cluster.environment import trainer_environment
from lmm_r1_mega.cluster.images import put_images
from lmm_r1_mega.cluster.messages import MicrobatchSequences, Target, target_columns
from lmm_r1_mega.cluster.placement import Placement
from lmm_r1_mega.cluster.supervise import wait_all
from lmm_r1_mega.cluster.workers import PolicyView, RankInfo, TrainWorker
from lmm_r1_mega.config import Config
from lmm_r1_mega.convert.flops import sequence_flops
from lmm_r1_mega.families.registry import read_shape
from lmm_r1_mega.schema import PolicyTarget, PolicyUpdate, Role, Sequence, SFTTarget, UpdateReport, ValueTarget

T = TypeVar("T")

FORWARD_AND_BACKWARD = 3  # times the operations of a forward pass; recomputation is no work that the model asks for


@dataclass(frozen=True)
class MicrobatchAssignment:
    """Which of a list of items goes to which data-parallel rank and micro-batch."""

    indices: list[list[list[int]]]
    flops: float
    """Operations of a forward pass over all of them."""

    def microbatches(self, items: Items[T]) -> list[list[list[T]]]:
        """rank -> micro-batches -> items"""
        return [[[items[i] for i in microbatch] for microbatch in rank] for rank in self.indices]

    def ranks(self, items: Items[T]) -> list[list[T]]:
        """rank -> items of all its micro-batches, one micro-batch after the other"""
        return [[items[i] for microbatch in rank for i in microbatch] for rank in self.indices]

    def restore(self, results: list[list[T]]) -> list[T]:
        """Inverse of `ranks`."""
        order = chain.from_iterable(self.ranks(range(sum(map(len, results)))))
        return [result for _, result in sorted(zip(order, chain.from_iterable(results), strict=True), key=itemgetter(0))]


@dataclass(frozen=True, eq=False)
class MiniBatch:
    """The sequences of one optimizer step. They are assigned to micro-batches and sent to the ranks once."""

    sequences: list[Sequence]


@dataclass(frozen=True)
class Sent:
    """Where the sequences of a mini-batch are."""

    assignment: MicrobatchAssignment
    microbatches: list[ray.ObjectRef]
    """Of each data rank."""


class Trainers:
    """All Megatron ranks of a run. A method is one collective call to every rank."""

    def __init__(self, config: Config, placement: Placement) -> None:
        self._config = config
        self._workers = [_start(config, placement, rank) for rank in range(config.layout.num_ranks)]
        self._shape = read_shape(config.model.path)
        self._sent: WeakKeyDictionary[MiniBatch, Sent] = WeakKeyDictionary()
        on_one_machine = len({slot.address for slot in placement.trainers}) == 1
        [rendezvous] = self._collect([self._workers[0].rendezvous.remote(on_one_machine=on_one_machine)], "opening the rendezvous")
        self._rank_infos: list[RankInfo] = self._everywhere(lambda worker: worker.join.remote(rendezvous), "joining the others")

    def load(self, role: Role, path: Path, *, total_steps: int) -> None:
        """Build the policy or the critic on all ranks from a Hugging Face folder."""
        self._everywhere(lambda worker: worker.load.remote(role, path, total_steps=total_steps), f"loading the {role}")

    def take_snapshot(self, name: str) -> None:
        """Keep the policy's present weights in host memory under a name."""
        self._everywhere(lambda worker: worker.take_snapshot.remote(name), "taking a snapshot")

    def logprobs(self, batch: MiniBatch, view: PolicyView) -> list[Float[Tensor, "response"]]:
        """Log-probability of every response token, by the policy or by one of its snapshots."""
        return self._ask(batch, lambda worker, microbatches: worker.logprobs.remote(microbatches, view), "log-probabilities")

    def values(self, batch: MiniBatch) -> list[Float[Tensor, "response"]]:
        """The critic's value before every response token."""
        return self._ask(batch, lambda worker, microbatches: worker.values.remote(microbatches), "values")

    def update_policy(self, batch: MiniBatch, targets: list[PolicyTarget], loss: PolicyLoss) -> PolicyUpdate:
        """One optimizer step of the policy; `targets` are of the sequences of the mini-batch, in their order."""
        started = time.perf_counter()

        def call(worker: ActorHandle, microbatches: ray.ObjectRef, numbers: ray.ObjectRef) -> ray.ObjectRef:
            return worker.update_policy.remote(microbatches, numbers, loss)

        reported = self._update(batch, targets, call, "the policy update")
        assignment = self._send(batch).assignment
        flops_per_s = FORWARD_AND_BACKWARD * assignment.flops / (time.perf_counter() - started)
        report = reported[0][0]
        report = replace(report, metrics=report.metrics | speed_metrics(flops_per_s, [at.peak_flops for at in self._rank_infos]))
        return PolicyUpdate(report, assignment.restore([logprobs.cut() for _, logprobs in reported]))

    def update_values(self, batch: MiniBatch, targets: list[ValueTarget], *, value_clip: float) -> UpdateReport:
        """One optimizer step of the critic."""

        def call(worker: ActorHandle, microbatches: ray.ObjectRef, numbers: ray.ObjectRef) -> ray.ObjectRef:
            return worker.update_values.remote(microbatches, numbers, value_clip=value_clip)

        return self._update(batch, targets, call, "the critic update")[0]

    def update_sft(self, targets: list[SFTTarget]) -> UpdateReport:
        """One optimizer step on demonstrations."""

        def call(worker: ActorHandle, microbatches: ray.ObjectRef, numbers: ray.ObjectRef) -> ray.ObjectRef:
            return worker.update_sft.remote(microbatches, numbers)

        return self._update(MiniBatch([target.sequence for target in targets]), targets, call, "the supervised update")[0]

    def publish(self, engines: list[ActorHandle], *, version: int) -> None:
        """Give the policy's weights to the rollout engines."""
        self._everywhere(lambda worker: worker.publish.remote(engines, version=version), "sending weights")

    def save(self, folders: Mapping[Role, Path]) -> None:
        """Write weights, optimizer, schedule and random state of each role into its folder."""
        self._everywhere(lambda worker: worker.save.remote(folders), "saving a checkpoint")

    def restore(self, folders: Mapping[Role, Path]) -> None:
        """Inverse of `save`, at this or another layout."""
        self._everywhere(lambda worker: worker.restore.remote(folders), "loading a checkpoint")

    def export_hf(self, folder: Path) -> None:
        """Write the policy as a Hugging Face folder."""
        self._everywhere(lambda worker: worker.export_hf.remote(folder), "exporting the model")

    def _ask(self, batch: MiniBatch, call: Callable[..., ray.ObjectRef], doing: str) -> list[Tensor]:
        sent = self._send(batch)
        return sent.assignment.restore([column.cut() for column in self._by_data_rank(call, doing, sent.microbatches)])

    def _update(self, batch: MiniBatch, targets: Items[Target], call: Callable[..., ray.ObjectRef], doing: str) -> list[Any]:
        sent = self._send(batch)
        numbers = [ray.put(target_columns(members)) for members in sent.assignment.ranks(targets)]
        return self._by_data_rank(call, doing, sent.microbatches, numbers)

    def _send(self, batch: MiniBatch) -> Sent:
        """Store the micro-batches of each data rank, where they stay as long as somebody has the mini-batch."""
        if batch not in self._sent:
            assignment = self._assign(batch.sequences)
            self._sent[batch] = Sent(
                assignment, [ray.put(MicrobatchSequences.of(microbatches)) for microbatches in assignment.microbatches(batch.sequences)]
            )
        return self._sent[batch]

    def _assign(self, sequences: list[Sequence]) -> MicrobatchAssignment:
        """Samples of a prompt stay together, so that their microbatch computes the prompt once.

        Their images are shared too, since they are about to be sent.
        """
        put_images(sequence.images for sequence in sequences)
        layout = self._config.layout
        bundles = bundle(sequences, budget=layout.max_tokens_per_microbatch, num_ranks=layout.data)
        members = [[sequences[i] for i in indices] for indices in bundles]
        lengths, costs = [sum(num_new_tokens(together)) for together in members], [self._cost(together) for together in members]
        ranks = assign_microbatches(lengths, costs, budget=layout.max_tokens_per_microbatch, num_ranks=layout.data)
        return MicrobatchAssignment(
            [[[i for at in microbatch for i in bundles[at]] for microbatch in microbatches] for microbatches in ranks], sum(costs)
        )

    def _cost(self, together: list[Sequence]) -> float:
        patches = [0 if sequence.images is None else len(sequence.images.patches) for sequence in together[:1]]
        positions = zip_longest(num_new_tokens(together), patches, fillvalue=0)
        return sum(sequence_flops(self._shape, tokens=tokens, patches=count) for tokens, count in positions)

    def _by_data_rank(self, call: Callable[..., ray.ObjectRef], doing: str, *stored: list[ray.ObjectRef]) -> list[Any]:
        """What the output ranks say, in the order of the data ranks. Each rank gets what is stored for its data rank, by reference."""
        ranks = zip(self._workers, self._rank_infos, strict=True)
        results = self._collect([call(worker, *(one[at.data_rank] for one in stored)) for worker, at in ranks], doing)
        reported = {at.data_rank: result for result, at in zip(results, self._rank_infos, strict=True) if at.returns_results}
        return [reported[rank] for rank in range(self._config.layout.data)]

    def _everywhere(self, call: Callable[[ActorHandle], ray.ObjectRef], doing: str) -> list[Any]:
        return self._collect([call(worker) for worker in self._workers], doing)

    def _collect(self, calls: list[ray.ObjectRef], doing: str) -> list[Any]:
        named = {f"trainer rank {rank}": call for rank, call in enumerate(calls)}
        return list(wait_all(named, doing=doing, timeout_s=self._config.cluster.step_timeout_s).values())


def speed_metrics(flops_per_s: float, peaks: list[float | None]) -> dict[str, float]:
    """Operations a second and rank, and their share of what the devices could do where that is known (MFU).

    Example: 8e14 operations a second by two ranks that could do 1e15 each -> 400 tera-operations a rank, MFU 0.4
    """
    known = [peak for peak in peaks if peak is not None]
    speed = {"perf/update_tflops_per_rank": flops_per_s / len(peaks) / 1e12}
    return speed | ({"perf/mfu": flops_per_s / sum(known)} if len(known) == len(peaks) else {})


def _start(config: Config, placement: Placement, rank: int) -> ActorHandle:
    options = {
        "num_cpus": 0.01,
        "num_gpus": 0.5 if placement.has_gpus else 0,
        "max_restarts": 0,
        "scheduling_strategy": placement.strategy(placement.trainers[rank]),
        "runtime_env": {"env_vars": trainer_environment(placement)},
    }
    return ray.remote(TrainWorker).options(**options).remote(config, rank)
