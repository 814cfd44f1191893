"""Waits until all machines of a job are in its Ray cluster: `python -m lmm_r1_mega.cluster.gather NUM_NODES LIMIT_S`."""

from __future__ import annotations

import os
import socket
import sys
import time

import ray

from lmm_r1_mega.errors import DONE, REQUEUE

POLL_S = 0.2


def main(num_nodes: int, limit_s: float) -> int:
    """Join the cluster at RAY_ADDRESS once and count its nodes until all are there, or the time is up."""
    deadline = time.monotonic() + limit_s
    host, _, port = os.environ["RAY_ADDRESS"].rpartition(":")
    while not _listens(host, int(port)):
        if time.monotonic() > deadline:
            return _fail(f"nobody listens at {host}:{port} after {limit_s:.0f} s")
        time.sleep(POLL_S)
    ray.init(address="auto", log_to_driver=False, logging_level="error")
    while (alive := sum(node["Alive"] for node in ray.nodes())) < num_nodes:
        if time.monotonic() > deadline:
            return _fail(f"of {num_nodes} nodes only {alive} joined Ray within {limit_s:.0f} s")
        time.sleep(POLL_S)
    return DONE


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _fail(message: str) -> int:
    print(f"start_ray.sh: {message}", file=sys.stderr)
    return REQUEUE


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2])))
