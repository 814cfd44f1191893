"""The environment of worker processes."""

from __future__ import annotations

import os

import psutil

from lmm_r1_mega.cluster.placement import Placement, Slot

# Memory that a step gives back is kept for the next, in huge pages: a virtual machine may have to get it from its host again. Not so the
# blocks of large models, embeddings and logits: beside the work on them that costs nothing, and another process may need it meanwhile.
_KEPT_MEMORY = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in {"hugetlb": 1, "mmap_threshold": 2**26, "trim_threshold": 2**28, "top_pad": 2**26}.items()
)
# One thread a process: ranks and engines share the cores, and sums come out in the same order every time.
_HOST = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "GLIBC_TUNABLES": _KEPT_MEMORY}


def trainer_environment(placement: Placement) -> dict[str, str]:
    """Variables of a trainer rank."""
    if placement.has_gpus:
        return {"CUDA_DEVICE_MAX_CONNECTIONS": "1"}
    return {**_HOST, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


def interface_of(address: str) -> str | None:
    """Name of the network interface that has an address of this machine; None where none has, as behind address translation.

    Example: 127.0.0.1 -> lo, and 127.0.0.11 too, which `lo` has without listing it
    """
    address = "127.0.0.1" if address.startswith("127.") else address
    names = [name for name, found in psutil.net_if_addrs().items() if address in {one.address for one in found}]
    return names[0] if names else None


def engine_environment(placement: Placement, slot: Slot) -> dict[str, str]:
    """Variables of a rollout engine; on GPUs it sees the GPUs of its slot, which Ray has given to trainer ranks."""
    if placement.has_gpus:
        return {"CUDA_VISIBLE_DEVICES": ",".join(slot.gpu_ids), "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}
    return {**_HOST, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "GLOO_SOCKET_IFNAME": "lo"}
