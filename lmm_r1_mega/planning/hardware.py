"""The machine that a plan is made for; it need not be present."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lmm_r1_mega.config import ModelSettings

GIB = 2**30

Precision = Literal["fp32", "bf16", "fp8"]


@dataclass(frozen=True)
class Hardware:
    """Memory of one GPU and of one machine, in GiB; `gpu_gib` is None for machines without GPUs."""

    gpu_gib: float | None
    host_gib: float | None = None

    @property
    def device(self) -> Literal["cpu", "gpu"]:
        """What computes."""
        return "cpu" if self.gpu_gib is None else "gpu"


def precision_on(hardware: Hardware, settings: ModelSettings) -> Precision:
    """Arithmetic of the run: as set; auto is fp32 on a CPU and bf16 on a GPU."""
    if settings.precision != "auto":
        return settings.precision
    return "bf16" if hardware.device == "gpu" else "fp32"


def element_bytes(precision: Precision) -> int:
    """Bytes of one number in weights and activations; fp8 keeps both in bf16 beside what its matrix products use."""
    return 4 if precision == "fp32" else 2
