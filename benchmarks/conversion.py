"""Bandwidth and memory of converting a checkpoint both ways, against a plain copy of the same files.

    python benchmarks/conversion.py MODEL

Prints one JSON line: GB/s of `copy` (shutil, which has the kernel copy), `read_write` (a copy through a buffer of 1 MB),
`to_megatron` and `to_hf`, each the median of --runs in turn; once until the job returns, with its files in the page cache, and
once (`_on_disk`) until they are on the disk, by the same fsync for all four. Beside them the peak memory of each above that of the
interpreter with its imports. Every run writes to a folder of its own beside MODEL, on the same file system. A job runs twice in a
row and the second time counts: memory that a virtual machine has to get from its host makes anything that fills the page cache
several times slower, by chance.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import tyro

from lmm_r1_mega.convert.checkpoints import hf_to_megatron, megatron_to_hf


@dataclass(frozen=True)
class Measured:
    """One run of a job."""

    returned_s: float
    on_disk_s: float
    peak_bytes: int
    """By which the memory of its process grew."""


def read_write(source: Path, target: Path) -> None:
    """A copy of the weights through memory of this process."""
    target.mkdir()
    buffer = memoryview(bytearray(2**20))
    for path in source.glob("*.safetensors"):
        with open(path, "rb", buffering=0) as file, open(target / path.name, "wb", buffering=0) as out:
            while count := file.readinto(buffer):
                out.write(buffer[:count])


def main(model: tyro.conf.Positional[Path], *, runs: int = 3) -> None:
    """Measure conversion of a Hugging Face folder."""
    num_bytes = sum(path.stat().st_size for path in model.glob("*.safetensors"))
    with tempfile.TemporaryDirectory(dir=model.parent) as folder:
        megatron = Path(folder) / "megatron"
        hf_to_megatron(model, megatron)
        jobs = {
            "copy": lambda out: shutil.copytree(model, out),
            "read_write": lambda out: read_write(model, out),
            "to_megatron": lambda out: hf_to_megatron(model, out),
            "to_hf": lambda out: megatron_to_hf(megatron, out),
        }
        found: dict[str, list[Measured]] = {name: [] for name in jobs}
        for _ in range(runs):
            for name, job in jobs.items():
                found[name].append(_measured(job, Path(folder) / "out"))
    line = {"gb": num_bytes / 1e9}
    for name, runs_of_job in found.items():
        line[f"{name}_gb_per_s"] = num_bytes / median(run.returned_s for run in runs_of_job) / 1e9
        line[f"{name}_on_disk_gb_per_s"] = num_bytes / median(run.on_disk_s for run in runs_of_job) / 1e9
        line[f"{name}_peak_mb"] = max(run.peak_bytes for run in runs_of_job) / 1e6
    print(json.dumps(line))


def _measured(job: Callable[[Path], object], out: Path) -> Measured:
    """A job in a forked process; what it wrote is deleted."""
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()

    def run() -> None:
        before = _resident_bytes()
        job(out)
        shutil.rmtree(out)
        start = time.perf_counter()
        job(out)
        returned_s = time.perf_counter() - start
        _fsync(out)
        on_disk_s = time.perf_counter() - start
        results.put(Measured(returned_s, on_disk_s, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))

    process = context.Process(target=run)
    process.start()
    process.join()
    shutil.rmtree(out)
    return results.get()


def _fsync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    tyro.cli(main)
