"""The environment of worker processes."""

from __future__ import annotations

import os

from lmm_r1_mega.cluster.placement import Placement, Slot

# One thread a process: ranks and engines share the cores, and sums come out in the same order every time.
_HOST = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "GLOO_SOCKET_IFNAME": "lo"}


def trainer_environment(placement: Placement) -> dict[str, str]:
    """Variables of a trainer rank."""
    if placement.has_gpus:
        return {"CUDA_DEVICE_MAX_CONNECTIONS": "1"}
    return {**_HOST, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


def engine_environment(placement: Placement, slot: Slot) -> dict[str, str]:
    """Variables of a rollout engine; on GPUs it sees the GPUs of its slot, which Ray has given to trainer ranks."""
    if placement.has_gpus:
        return {"CUDA_VISIBLE_DEVICES": ",".join(slot.gpu_ids), "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}
    return {**_HOST, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
