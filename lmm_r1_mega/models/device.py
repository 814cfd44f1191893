"""The one place that knows CUDA may be absent: lets megatron.core run on a host (megatron-core 0.16.1, torch 2.13).

megatron.core writes device="cuda" and torch.cuda.current_device() into its layers, schedules and optimizer. Torch's factory
functions are wrapped so that a CUDA device means the host, and the few torch.cuda entry points in use are pointed at their
CPU twin; nothing of megatron.core is edited. A torch.overrides.TorchFunctionMode would be neater but is not active while
backward recomputes a checkpointed layer.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import torch

from lmm_r1_mega.config.device import Device

HOST = torch.device("cpu")
_FACTORIES = ("tensor", "empty", "zeros", "ones", "full", "rand", "randn", "randint", "arange", "empty_like", "zeros_like", "ones_like")
_installed = False


def use_host_as_device() -> None:
    """Make "cuda" mean the host in this process; does nothing where CUDA is present or when called again."""
    global _installed
    if this_device().is_gpu or _installed:
        return
    for name in _FACTORIES:
        setattr(torch, name, _on_host(getattr(torch, name)))
    _redirect_tensor_methods()
    _redirect_cuda_module()
    _installed = True


def training_device() -> torch.device:
    """Where this process keeps its weights: the current CUDA device, or the host."""
    return torch.device("cuda", torch.cuda.current_device()) if this_device().is_gpu else HOST


def keep_float32_exact() -> None:
    """Let convolutions in float32 keep all their bits in this process: cuDNN would round to ten of them, which matrix products do not."""
    torch.backends.cudnn.allow_tf32 = False


@functools.cache
def this_device() -> Device:
    """What this process computes on."""
    if not torch.cuda.is_available():
        return Device("cpu")
    has_engine = importlib.util.find_spec("transformer_engine") is not None
    return Device("gpu", name=torch.cuda.get_device_name(), has_transformer_engine=has_engine)


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
