"""Which process runs on which machine and GPU.

Every trainer rank has a bundle of its own (one CPU slot, and one GPU where there are GPUs). A hybrid engine shares the
bundles of the ranks whose GPUs it borrows; a disaggregated one has further bundles. The loop never asks which it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ray
from ray.util.placement_group import PlacementGroup, placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from lmm_r1_mega.config import Config
from lmm_r1_mega.errors import ProcessLost
from lmm_r1_mega.planning.checks import gpus_needed


@dataclass(frozen=True)
class Slot:
    """A place for one process."""

    bundle: int
    address: str
    gpu_ids: tuple[str, ...]


@dataclass(frozen=True)
class Placement:
    """Slots of all processes of a run, and the group that reserves them."""

    group: PlacementGroup
    trainers: tuple[Slot, ...]
    engines: tuple[Slot, ...]
    has_gpus: bool

    def strategy(self, slot: Slot) -> PlacementGroupSchedulingStrategy:
        """Ray's scheduling strategy that puts an actor into `slot`."""
        return PlacementGroupSchedulingStrategy(self.group, placement_group_bundle_index=slot.bundle)


@ray.remote(num_cpus=0)
def _where() -> tuple[str, tuple[str, ...]]:
    return ray.util.get_node_ip_address(), tuple(str(gpu) for gpu in ray.get_gpu_ids())


def place_processes(config: Config, *, num_trainers: int, engines: bool = True) -> Placement:
    """Reserve the bundles of a run and give every process its slot, neighbors in rank on one machine.

    Raises:
        ProcessLost: the cluster does not have the resources within `cluster.start_timeout_s`.
        ValueError: an engine would be on several machines, or where weights cannot reach it.
    """
    has_gpus = ray.cluster_resources().get("GPU", 0) > 0
    count = gpus_needed(config, num_trainers=num_trainers, engines=engines)
    bundle = {"CPU": 1, "GPU": 1} if has_gpus else {"CPU": 1}
    group = placement_group([bundle] * count, strategy="PACK")
    if not group.wait(config.cluster.start_timeout_s):
        room = ray.cluster_resources()
        raise ProcessLost(f"the cluster has no room for {count} x {bundle} within {config.cluster.start_timeout_s:.0f} s: it has {room}")
    slots = _slots(group, count, has_gpus=has_gpus)
    trainers = slots[:num_trainers]
    shared = slots if config.cluster.placement == "hybrid" or num_trainers == 0 else slots[num_trainers:]
    placement = Placement(group, tuple(trainers), tuple(_engine_slots(config, shared) if engines else ()), has_gpus)
    check_colocation(placement)
    return placement


def check_colocation(placement: Placement) -> None:
    """Raises ValueError where shared memory, by which weights travel when there are no GPUs, would have to reach another machine."""
    for index, slot in enumerate(placement.engines):
        if not placement.has_gpus and placement.trainers and slot.address != placement.trainers[0].address:
            raise ValueError(
                f"rollout engine {index} would run on {slot.address} and trainer rank 0 on {placement.trainers[0].address}: without GPUs "
                f"weights travel in shared memory, so put both on one machine: set cluster.placement=hybrid, or lower rollout.engines"
            )


def describe(placement: Placement, machines: Sequence[str]) -> list[str]:
    """What runs on each of several machines, a line each; one without work is named too. Nothing where there is one machine.

    Example: ["10.0.0.1: trainer ranks 0 1, rollout engine 0", "10.0.0.2: no process of this run: ..."]
    """
    parts = {"trainer rank": placement.trainers, "rollout engine": placement.engines}
    lines = []
    for machine in machines if len(machines) > 1 else ():
        here = {name: [str(i) for i, slot in enumerate(slots) if slot.address == machine] for name, slots in parts.items()}
        work = ", ".join(f"{name}{'s' if len(numbers) > 1 else ''} {' '.join(numbers)}" for name, numbers in here.items() if numbers)
        idle = "no process of this run: the machine is idle, ask for fewer, or raise layout.data or rollout.engines"
        lines.append(f"{machine}: {work or idle}")
    return lines


def machines() -> list[str]:
    """Addresses of the machines of the cluster."""
    return sorted(node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"])


def _slots(group: PlacementGroup, count: int, *, has_gpus: bool) -> list[Slot]:
    share = 0.01 if has_gpus else 0
    strategies = [PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=i) for i in range(count)]
    asked = [_where.options(num_gpus=share, scheduling_strategy=strategy).remote() for strategy in strategies]
    slots = [Slot(i, address, gpu_ids) for i, (address, gpu_ids) in enumerate(ray.get(asked, timeout=120))]
    return sorted(slots, key=lambda slot: (slot.address, tuple(int(gpu) for gpu in slot.gpu_ids)))


def _engine_slots(config: Config, slots: list[Slot]) -> list[Slot]:
    width = config.rollout.tensor
    chosen = []
    for index in range(config.rollout.engines):
        members = slots[index * width : (index + 1) * width]
        if len({slot.address for slot in members}) > 1:
            raise ValueError(
                f"rollout.tensor {width} would spread engine {index} over machines {sorted({slot.address for slot in members})}: "
                f"choose a size that divides the GPUs of a machine"
            )
        chosen.append(Slot(members[0].bundle, members[0].address, tuple(gpu for slot in members for gpu in slot.gpu_ids)))
    return chosen
