"""The machine that a plan is made for; it need not be present."""

from __future__ import annotations

from dataclasses import dataclass

from lmm_r1_mega.config.device import Device, Precision

GIB = 2**30


@dataclass(frozen=True)
class Hardware:
    """Memory of one GPU and of one machine, in GiB; `gpu_gib` is None for machines without GPUs."""

    gpu_gib: float | None
    host_gib: float | None = None

    @property
    def device(self) -> Device:
        """What computes."""
        return Device("cpu") if self.gpu_gib is None else Device("gpu", has_transformer_engine=True)


def element_bytes(precision: Precision) -> int:
    """Bytes of one number in weights and activations; fp8 keeps both in bf16 beside what its matrix products use."""
    return 4 if precision == "fp32" else 2
