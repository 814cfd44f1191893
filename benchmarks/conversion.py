"""Bandwidth and memory of converting a checkpoint both ways, against a plain copy of the same files.

    python benchmarks/conversion.py MODEL

Prints one JSON line: GB/s of `copy` (shutil, then fsync), `to_megatron` and `to_hf`, each the median of --runs in turn, and the
peak memory of a conversion above that of the interpreter with its imports. Every run writes to a folder of its own beside
MODEL, on the same file system.
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
from pathlib import Path
from statistics import median

import tyro

from lmm_r1_mega.convert.checkpoints import hf_to_megatron, megatron_to_hf


def copy(source: Path, target: Path) -> None:
    """A plain copy of a folder, on the disk when it returns."""
    shutil.copytree(source, target)
    for path in target.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def main(model: tyro.conf.Positional[Path], *, runs: int = 3) -> None:
    """Measure conversion of a Hugging Face folder."""
    num_bytes = sum(path.stat().st_size for path in model.glob("*.safetensors"))
    with tempfile.TemporaryDirectory(dir=model.parent) as folder:
        megatron = Path(folder) / "megatron"
        hf_to_megatron(model, megatron)
        jobs = {
            "copy": lambda out: copy(model, out),
            "to_megatron": lambda out: hf_to_megatron(model, out),
            "to_hf": lambda out: megatron_to_hf(megatron, out),
        }
        found: dict[str, list[tuple[float, int]]] = {name: [] for name in jobs}
        for _ in range(runs):
            for name, job in jobs.items():
                found[name].append(_measured(job, Path(folder) / "out"))
    rates = {f"{name}_gb_per_s": num_bytes / median(seconds for seconds, _ in found[name]) / 1e9 for name in jobs}
    peaks = {f"{name}_peak_mb": max(peak for _, peak in found[name]) / 1e6 for name in jobs}
    print(json.dumps({"gb": num_bytes / 1e9, **rates, **peaks}))


def _measured(job: Callable[[Path], object], out: Path) -> tuple[float, int]:
    """Seconds of a job in a forked process, and the bytes by which its memory grew; what it wrote is deleted."""
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()

    def run() -> None:
        before, start = _resident_bytes(), time.perf_counter()
        job(out)
        results.put((time.perf_counter() - start, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))

    process = context.Process(target=run)
    process.start()
    process.join()
    shutil.rmtree(out)
    return results.get()


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    tyro.cli(main)
