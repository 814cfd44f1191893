"""Rows a second and peak memory of `data check` on a generated file.

    python benchmarks/data_check.py [--rows 200000] [--model HF_FOLDER] [--suffix .jsonl]

Prints one JSON line. The check runs in a process of its own, as the command does, with the gold answers judged by the reward workers.
`all_mb` is the largest sum over that process and the workers, memory that they share counted once, looked at twice a second;
`peak_mb` the most memory that process alone ever held, `above_imports_mb` how far that is above the process with its imports and,
where there is a model, its processor. `rows_per_cpu_s`: by that process's own time, whatever else the machine does.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow
import pyarrow.csv
import pyarrow.parquet
import tyro
from memory import Peak

from lmm_r1_mega.config import DataSettings, RewardSettings
from lmm_r1_mega.data.inspect.check import check_file
from lmm_r1_mega.rewards.workers.pool import RewardPool

if TYPE_CHECKING:
    from lmm_r1_mega.data.chat.processor import Processor

WORDS = ("the", "sum", "of", "angles", "in", "a", "triangle", "find", "such", "that", "n", "is", "positive", "integer", "and", "circle")
CHILD = "--measure"


def text_rows(count: int, *, seed: int = 0) -> Iterator[dict[str, str]]:
    """Questions of 15 to 60 words with a number as gold answer, the turns as a JSON string so that every format can hold them."""
    rng = random.Random(seed)
    for number in range(count):
        question = f"Problem {number}: {' '.join(rng.choices(WORDS, k=rng.randint(15, 60)))} ?"
        message = [{"role": "system", "content": "Reason step by step."}, {"role": "user", "content": question}]
        yield {"id": f"q{number}", "message": json.dumps(message), "answer": f"${rng.randint(0, 9999)}$", "datasource": "words"}


def write_rows(path: Path, count: int) -> None:
    """Write the rows in the format of the suffix; JSON Lines have the turns as a list."""
    if path.suffix == ".jsonl":
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row | {"message": json.loads(row["message"])}) + "\n" for row in text_rows(count))
    elif path.suffix == ".json":
        path.write_text(json.dumps(list(text_rows(count))), encoding="utf-8")
    elif path.suffix == ".csv":
        pyarrow.csv.write_csv(pyarrow.Table.from_pylist(list(text_rows(count))), path)
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(text_rows(count))), path)
    else:
        raise ValueError(f"--suffix {path.suffix}: use .jsonl, .json, .csv or .parquet")


def measure(path: Path, model: str) -> dict[str, float]:
    """Check a file in this process."""
    processor = _load_processor(model) if model else None
    with RewardPool(RewardSettings()) as rewards:
        before, start, start_cpu = _peak_mb(), time.perf_counter(), time.process_time()
        report = check_file(path, DataSettings(), processor, answer_problems=rewards.gold_problems)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    return {
        "rows": report.num_good,
        "rows_per_s": round(report.num_good / seconds),
        "rows_per_cpu_s": round(report.num_good / cpu_seconds),
        "peak_mb": round(_peak_mb()),
        "above_imports_mb": round(_peak_mb() - before),
    }


def _load_processor(model: str) -> Processor:
    from lmm_r1_mega.data.chat.processor import Processor  # as the command does: without a model torch is not imported

    return Processor.load(model)


def main(*, rows: int = 200_000, model: str = "", suffix: str = ".jsonl") -> None:
    """Measure the check of a generated file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{suffix}"
        write_rows(path, rows)
        figures, all_bytes = _watched([sys.executable, __file__, CHILD, str(path), model])
        about = {"suffix": suffix, "file_mb": round(path.stat().st_size / 1e6)}
        print(json.dumps(about | json.loads(figures) | {"all_mb": round(all_bytes / 1e6)}))


def _watched(command: list[str]) -> tuple[str, int]:
    """What a command prints, and the most memory of it and its workers."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        peak = Peak(child.pid, every_s=0.5)
        printed, _ = child.communicate()
    if child.returncode:
        raise RuntimeError(f"the check ended with status {child.returncode}: its own message stands above")
    return printed, peak.end()


def _peak_mb() -> float:
    """Of this program: what getrusage says counts from before exec, so it would have the parent's rows in it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6


if __name__ == "__main__":
    if CHILD in sys.argv[1:2]:
        print(json.dumps(measure(Path(sys.argv[2]), sys.argv[3])))
    else:
        tyro.cli(main)
