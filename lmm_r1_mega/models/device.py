"""The one place that knows CUDA may be absent: lets megatron.core run on a host (megatron-core 0.16.1, torch 2.13).

megatron.core writes device="cuda" and torch.cuda.current_device() into its layers, schedules and optimizer. Torch's factory
functions are wrapped so that a CUDA device means the host, and the few torch.cuda entry points in use are pointed at their
CPU twin; nothing of megatron.core is edited. A torch.overrides.TorchFunctionMode would be neater but is not active while
backward recomputes a checkpointed layer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import torch

Precision = Literal["fp32", "bf16", "fp8"]

HOST = torch.device("cpu")
PEAK_FLOPS = {"A100": 312e12, "A800": 312e12, "H100": 989e12, "H200": 989e12, "H800": 989e12, "B200": 2250e12}
"""Dense bf16 operations a second by what a GPU's name holds, as the manufacturer states them; fp8 makes twice as many."""
_FACTORIES = ("tensor", "empty", "zeros", "ones", "full", "rand", "randn", "randint", "arange", "empty_like", "zeros_like", "ones_like")
_installed = False


def use_host_as_device() -> None:
    """Make "cuda" mean the host in this process; does nothing where CUDA is present or when called again."""
    global _installed
    if torch.cuda.is_available() or _installed:
        return
    for name in _FACTORIES:
        setattr(torch, name, _on_host(getattr(torch, name)))
    _redirect_tensor_methods()
    _redirect_cuda_module()
    _installed = True


def training_device() -> torch.device:
    """Where this process keeps its weights: the current CUDA device, or the host."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else HOST


def keep_float32_exact() -> None:
    """Let convolutions in float32 keep all their bits in this process: cuDNN would round to ten of them, which matrix products do not."""
    torch.backends.cudnn.allow_tf32 = False


def distributed_backend() -> Literal["nccl", "gloo"]:
    """torch.distributed backend of the trainer processes."""
    return "nccl" if torch.cuda.is_available() else "gloo"


def resolve_precision(setting: Literal["auto", "fp32", "bf16", "fp8"]) -> Precision:
    """Arithmetic that `model.precision` stands for here; `ValueError` for fp8 without CUDA."""
    if setting == "auto":
        return "bf16" if torch.cuda.is_available() else "fp32"
    if setting == "fp8" and not torch.cuda.is_available():
        raise ValueError("model.precision fp8 needs a GPU with Transformer Engine: choose fp32 here")
    return setting


def peak_flops(device_name: str, precision: Precision) -> float | None:
    """Operations a second that the device could do at best; None where that is not known.

    Example: "NVIDIA H100 80GB HBM3", fp8 -> 1.978e15
    """
    known = [peak for name, peak in PEAK_FLOPS.items() if name in device_name]
    return known[0] * (2 if precision == "fp8" else 1) if known and precision != "fp32" else None


def device_name() -> str:
    """The model of this process's GPU, or `cpu`."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _as_host(device: Any) -> Any:
    if isinstance(device, str) and device.startswith("cuda"):
        return HOST
    if isinstance(device, torch.device) and device.type == "cuda":
        return HOST
    return device


def _on_host(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "device" in kwargs:
            kwargs["device"] = _as_host(kwargs["device"])
        return function(*args, **kwargs)

    return call


def _redirect_tensor_methods() -> None:
    to, kind = torch.Tensor.to, torch.Tensor.type

    def to_host(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return to(self, *(_as_host(arg) for arg in args), **{key: _as_host(value) for key, value in kwargs.items()})

    def cuda_kind(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """megatron.core's optimizer tells fp32 parameters by the string 'torch.cuda.FloatTensor'."""
        return kind(self, *args, **kwargs) if args or kwargs else kind(self).replace("torch.", "torch.cuda.", 1)

    torch.Tensor.cuda = lambda self, *_, **__: self
    torch.Tensor.to = to_host
    torch.Tensor.type = cuda_kind


def _redirect_cuda_module() -> None:
    import megatron.core.tensor_parallel.random as megatron_random  # seconds to import: only where there is no CUDA

    torch.cuda.current_device = lambda: HOST
    torch.cuda.synchronize = lambda *_, **__: None
    torch.cuda.manual_seed = torch.manual_seed
    torch.cuda.get_rng_state = lambda *_, **__: torch.get_rng_state()
    torch.cuda.set_rng_state = lambda state, *_, **__: torch.set_rng_state(state)
    megatron_random._get_cuda_rng_state = lambda *_, **__: torch.get_rng_state()
    megatron_random._set_cuda_rng_state = lambda state, *_, **__: torch.set_rng_state(state)
