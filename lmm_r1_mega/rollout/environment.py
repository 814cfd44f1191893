"""The environment of a process in which vLLM runs: set here, before vLLM is imported."""

from __future__ import annotations

import logging
import os
import warnings

from lmm_r1_mega.models.device import this_device
from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable

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


def prepare_process() -> None:
    """Set what vLLM reads at import; a variable that the user has set stays. Safe to call again."""
    for name, value in {**_EVERYWHERE, **(_GPU if this_device().is_gpu else _HOST)}.items():
        os.environ.setdefault(name, value)
    logging.getLogger("vllm").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"vllm\.")
    make_torchvision_importable()
