"""Runs a function on several processes that form one gloo group, and returns what each rank returned.

The processes are forked from a server that has imported megatron and transformers once, so that a group starts in well under a second. They
are ended when one of them fails or the deadline passes; nothing is left behind.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["preload"])  # the file beside this one
_HERE = str(Path(__file__).parent)


def spawn(function: Callable[..., Any], num_ranks: int, *args: Any, deadline_s: float = 120) -> list[Any]:
    """`[function(*args) on rank r for r in range(num_ranks)]`, computed by `num_ranks` processes of one gloo group.

    `function` stands at the top of a module; arguments and results can be pickled. Raises `RuntimeError` with a failing rank's
    trace, or when the deadline passes.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    if _HERE not in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_HERE, os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as folder:
        call = (function, num_ranks, folder, args)
        ranks = [_CONTEXT.Process(target=_rank_main, args=(rank, *call)) for rank in range(num_ranks)]
        try:
            for process in ranks:
                process.start()
            _wait(ranks, Path(folder), deadline=time.monotonic() + deadline_s)
            return [pickle.loads((Path(folder) / f"result{rank}").read_bytes()) for rank in range(num_ranks)]
        finally:
            for process in ranks:
                if process.pid is not None:
                    process.kill()
                    process.join()


def _wait(ranks: list[BaseProcess], folder: Path, *, deadline: float) -> None:
    while any(process.is_alive() for process in ranks):
        failed = [rank for rank, process in enumerate(ranks) if process.exitcode]
        if failed:
            time.sleep(0.2)  # the rank that failed first writes its trace before the others notice
            break
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(ranks)} ranks did not finish in time")
        time.sleep(0.02)
    traces = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("trace*"))]
    if traces or any(process.exitcode for process in ranks):
        raise RuntimeError(f"exit codes {[process.exitcode for process in ranks]}\n" + "\n".join(traces))


def _rank_main(rank: int, function: Callable[..., Any], num_ranks: int, folder: str, args: tuple[Any, ...]) -> None:
    import torch
    import torch.distributed as dist

    from lmm_r1_mega.models.device import use_host_as_device

    torch.set_num_threads(1)
    use_host_as_device()
    try:
        dist.init_process_group(
            "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=num_ranks, timeout=timedelta(seconds=60)
        )
        result = function(*args)
        (Path(folder) / f"result{rank}").write_bytes(pickle.dumps(result))
        dist.destroy_process_group()
    except Exception:
        (Path(folder) / f"trace{rank}").write_text(f"rank {rank}:\n{traceback.format_exc()}", encoding="utf-8")
        sys.exit(1)
