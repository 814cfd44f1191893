"""Joining or starting a Ray cluster, and leaving nothing of it behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import ray

from lmm_r1_mega.cluster.images import drop_references
from lmm_r1_mega.config import ClusterSettings
from lmm_r1_mega.process.progress import needing
from lmm_r1_mega.process.session_folder import FOLDER_VARIABLE, RAY, WORKERS_TMP, session_folder

LOOPBACK = "127.0.0.1"


@contextmanager
def ray_session(settings: ClusterSettings, *, num_processes: int) -> Iterator[None]:
    """Ray for the length of a run: the cluster at `settings.address`, or a private one on this machine.

    A private cluster listens on loopback, for token holders only, has no dashboard and keeps its files and those of its workers in
    a folder that goes with it. It offers as many CPU slots as there are processes, since ranks and engines wait for each other more
    than they compute at the same time.
    """
    if settings.address is not None:
        ray.init(address=settings.address, log_to_driver=False, logging_level="error")
        try:
            with needing(_services()):
                yield
        finally:
            drop_references()
            ray.shutdown()
        return
    with _folder() as folder:
        try:
            with _temporary_files_in(folder / WORKERS_TMP):
                ray.init(
                    address="local",  # whatever RAY_ADDRESS says
                    num_cpus=num_processes,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level="error",
                    _node_ip_address=LOOPBACK,
                    _temp_dir=str(folder / RAY),  # not the folder itself: Ray lets everybody into its own
                )
            with needing(_services()):
                yield
        finally:
            drop_references()
            ray.shutdown()


def _folder() -> AbstractContextManager[Path]:
    """That of the parent process, or one of our own."""
    given = os.environ.get(FOLDER_VARIABLE)
    return nullcontext(Path(given)) if given else session_folder()


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """What is started inside, and all that it starts later, has its temporary files there."""
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before


def _services() -> dict[str, tuple[str, int]]:
    """The two processes of Ray without which a driver hangs or aborts: of the cluster, and of this machine."""
    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    [node] = [node for node in ray.nodes() if node["NodeID"] == context.get_node_id()]
    return {"Ray's GCS": (host, int(port)), "Ray's raylet": (node["NodeManagerAddress"], node["NodeManagerPort"])}
