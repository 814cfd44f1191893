"""What computes, and all that follows from it: known without torch, made once per process and handed down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "bf16", "fp8"]
PrecisionSetting = Literal["auto", "fp32", "bf16", "fp8"]
PlacementMode = Literal["hybrid", "disaggregated"]

PEAK_FLOPS = {"A100": 312e12, "A800": 312e12, "H100": 989e12, "H200": 989e12, "H800": 989e12, "B200": 2250e12}
"""Dense bf16 operations per second by what a GPU's name holds, as the manufacturer states them; fp8 makes twice as many."""


@dataclass(frozen=True)
class Device:
    """A GPU, or the CPU of a machine without one."""

    kind: Literal["gpu", "cpu"]
    name: str = ""
    """Model of the GPU."""
    has_transformer_engine: bool = False

    @property
    def is_gpu(self) -> bool:
        return self.kind == "gpu"

    @property
    def collectives(self) -> Literal["nccl", "gloo"]:
        """torch.distributed's backend between trainer ranks."""
        return "nccl" if self.is_gpu else "gloo"

    def precision(self, setting: PrecisionSetting) -> Precision:
        """Arithmetic of training: as set; auto is bf16 on a GPU and fp32 on a CPU."""
        if setting == "auto":
            return "bf16" if self.is_gpu else "fp32"
        return setting

    def serving_precision(self, setting: PrecisionSetting) -> Literal["fp32", "bf16"]:
        """Arithmetic of the rollout engines: fp8 trainers are served in bf16."""
        return "fp32" if self.precision(setting) == "fp32" else "bf16"

    def layer_spec(self, precision: Precision) -> Literal["local", "transformer_engine"]:
        """Transformer Engine's layers where it is installed, megatron.core's local ones elsewhere and for fp32.

        Raises: ValueError for fp8 without Transformer Engine.
        """
        if precision == "fp8" and not self.has_transformer_engine:
            raise ValueError(
                "model.precision fp8 needs a GPU with Transformer Engine: install the extra `gpu`, or choose bf16, or fp32 on a CPU"
            )
        return "transformer_engine" if self.has_transformer_engine and precision != "fp32" else "local"

    def weight_transfer(self, placement: PlacementMode) -> Literal["shm", "ipc", "nccl"]:
        """How weights travel: shared memory on a CPU, CUDA IPC between processes on the same GPU, NCCL between GPUs."""
        if not self.is_gpu:
            return "shm"
        return "ipc" if placement == "hybrid" else "nccl"

    def engines_sleep(self, placement: PlacementMode) -> bool:
        """Whether rollout engines leave the memory of their GPU to the trainer while it works."""
        return self.is_gpu and placement == "hybrid"

    def peak_flops(self, precision: Precision) -> float | None:
        """Operations per second at best; None if not known.

        Example: "NVIDIA H100 80GB HBM3", fp8 -> 1.978e15
        """
        known = [peak for name, peak in PEAK_FLOPS.items() if name in self.name]
        return known[0] * (2 if precision == "fp8" else 1) if known and precision != "fp32" else None
