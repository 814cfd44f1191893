"""The environment of a process in which vLLM runs: set here, before vLLM is imported."""

from __future__ import annotations

import logging
import os
import warnings
from typing import Literal

import torch

from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable

Precision = Literal["auto", "fp32", "bf16", "fp8"]
Placement = Literal["hybrid", "disaggregated"]

_EVERYWHERE = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine lives in the process that calls it: no hop a step, no second start
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
_GPU = {
    "TRITON_F32_DEFAULT": "ieee",  # vLLM's attention would round float32 to ten bits; kernels of bf16 do not ask
}
_HOST = {
    "TORCH_COMPILE_DISABLE": "1",  # it would only serve a rank count that nobody reads, after 20 s of compiling
    "THP_MEM_ALLOC_ENABLE": "1",  # weights in huge pages: an update touches fresh memory for every layer
    "OMP_NUM_THREADS": "1",
}


def has_gpu() -> bool:
    """Whether vLLM runs on CUDA in this process."""
    return torch.cuda.is_available()


def prepare_process() -> None:
    """Set what vLLM reads at import; a variable that the user has set stays. Safe to call again."""
    for name, value in {**_EVERYWHERE, **(_GPU if has_gpu() else _HOST)}.items():
        os.environ.setdefault(name, value)
    logging.getLogger("vllm").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"vllm\.")
    make_torchvision_importable()


def vllm_dtype(precision: Precision) -> str:
    """vLLM's name of the arithmetic; fp8 trainers are served in bf16."""
    if precision == "auto":
        return "bfloat16" if has_gpu() else "float32"
    return "float32" if precision == "fp32" else "bfloat16"


def transfer_backend(placement: Placement) -> Literal["shm", "ipc", "nccl"]:
    """How weights travel: shared memory on a host, CUDA IPC between processes on the same GPU, NCCL between GPUs."""
    if not has_gpu():
        return "shm"
    return "ipc" if placement == "hybrid" else "nccl"
