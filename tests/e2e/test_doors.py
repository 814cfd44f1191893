"""What a run leaves open while it lasts and behind when it is over: nothing for those without its token."""

import contextlib
import http.server
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import torch.distributed as dist
import yaml
from doors import Door, doors_of, methods_of_ray, served
from test_lost_processes import DEADLINE_S, at_work, end, kill_family

from lmm_r1_mega.config.reading import merge
from lmm_r1_mega.errors import REQUEUE
from lmm_r1_mega.process.session_folder import MAX_PARENT_BYTES


@contextlib.contextmanager
def open_doors() -> Iterator[list[Door]]:
    """A web server and a rendezvous that serve everybody."""
    ranks = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=30))
    web = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    try:
        yield [Door("127.0.0.1", port, "open") for port in (ranks.port, web.server_port)]
    finally:
        web.shutdown()
        web.server_close()
        thread.join()


def test_open_doors_are_found():
    with open_doors() as doors:
        found = served(doors, [])
    ranks, web = (found[door] for door in doors)
    assert "the ranks" in ranks and "a page" in web
    assert [Door(host, 1, "").is_outer for host in ("::", "0.0.0.0", "10.0.0.1", "::ffff:10.0.0.1")] == [True] * 4


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary directory whose path is as long as the sockets of a run allow."""
    path = Path(f"/tmp/{secrets.token_hex(16)}"[:MAX_PARENT_BYTES])
    path.mkdir()
    yield path
    shutil.rmtree(path)


@contextlib.contextmanager
def run(settings: dict, folder: Path, **variables: str) -> Iterator[subprocess.Popen]:
    """A run of two ranks that has trained a step and has many to go; nothing that this process has told Ray reaches it."""
    changes = {"layout": {"tensor": 2}, "run": {"steps": 100000, "save_every": 0, "folder": str(folder / "run")}}
    (folder / "config.yaml").write_text(yaml.safe_dump(merge(settings, changes)))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AUTOSCALER_"))}
    command = [sys.executable, "-W", "ignore", "-m", "lmm_r1_mega.cli", "train", str(folder / "config.yaml")]
    environment = {**clean, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **variables}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not (folder / "run" / "metrics.jsonl").is_file():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        yield process
    finally:
        kill_family(process)


@pytest.mark.timeout(900)
def test_a_run_serves_nobody_without_its_token_and_leaves_no_file(settings, tmp_path, temporary):
    token = secrets.token_hex(32)
    with run(settings, tmp_path, TMPDIR=str(temporary), RAY_AUTH_TOKEN=token) as process:
        assert {oct(path.stat().st_mode) for path in temporary.iterdir()} == {"0o40700"}
        doors, methods = list(doors_of(process.pid)), methods_of_ray()
        assert not [door for door in doors if door.is_outer]
        assert served(doors, methods) == {}
        assert process.poll() is None
        harmless = {f"/ray.rpc.{name}" for name in ("NodeInfoGcsService/GetAllNodeInfo", "CoreWorkerService/GetCoreWorkerStats")}
        granted = served(doors, sorted(harmless), token=token)
        assert harmless <= set(methods) and {method for found in granted.values() for method in found} == harmless, "doors are looked for"

        at_work(process, "RolloutWorker").kill()
        end(process, status=REQUEUE)
    assert list(temporary.iterdir()) == []
