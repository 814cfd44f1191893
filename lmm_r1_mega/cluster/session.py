"""Joining or starting a Ray cluster, and leaving nothing of it behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import ray

from lmm_r1_mega.cluster.pictures import forget
from lmm_r1_mega.cluster.session_folder import session_folder
from lmm_r1_mega.config import ClusterSettings

LOOPBACK = "127.0.0.1"


@contextmanager
def ray_session(settings: ClusterSettings, *, num_processes: int) -> Iterator[None]:
    """Ray for the length of a run: the cluster at `settings.address`, or a private one on this machine.

    A private cluster listens for token holders only, has no dashboard and keeps its files in a folder that goes with it. It
    offers as many CPU slots as there are processes, since ranks and engines wait for each other more than they compute at
    the same time.
    """
    if settings.address is not None:
        ray.init(address=settings.address, log_to_driver=False, logging_level="error")
        try:
            yield
        finally:
            forget()
            ray.shutdown()
        return
    with session_folder() as folder:
        try:
            ray.init(
                address="local",  # whatever RAY_ADDRESS says
                num_cpus=num_processes,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="error",
                _node_ip_address=LOOPBACK,
                _temp_dir=str(folder),
            )
            yield
        finally:
            forget()
            ray.shutdown()
