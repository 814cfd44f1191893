"""Keys that a run is started with reach the service they are for, and no file, no message and no command line."""

import contextlib
import http.server
import os
import secrets
import shutil
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from test_doors import run, temporary
from test_lost_processes import DEADLINE_S

from lmm_r1_mega.config.reading import merge

__all__ = ["temporary"]
NAMES = ("WANDB_API_KEY", "HF_TOKEN", "LMM_R1_REWARD_TOKEN", "LMM_R1_JUDGE_KEY", "RAY_AUTH_TOKEN")


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers every request with what it was asked with, which is the worst that a service can do, and with 401."""

    def do_POST(self) -> None:
        self.server.heard.append(str(self.headers))
        body = str(self.headers).encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, *_) -> None:
        """Nothing."""


@pytest.fixture
def service() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    server.heard = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def texts(*folders: Path) -> Iterator[tuple[Path, bytes]]:
    for folder in folders:
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):  # gone meanwhile
                if path.is_file():
                    yield path, path.read_bytes()


def spellings(key: str) -> list[str]:
    """As it is, and as basic authentication of W&B has it."""
    return [key, b64encode(f"api:{key}".encode()).decode().rstrip("=")]


def holding(keys: dict[str, str], *folders: Path) -> list[tuple[str, Path]]:
    return [
        (name, path) for path, text in texts(*folders) for name, key in keys.items() if any(one.encode() in text for one in spellings(key))
    ]


@pytest.fixture
def keys() -> dict[str, str]:
    return {name: secrets.token_hex(20 if name == "WANDB_API_KEY" else 32) for name in NAMES}


@pytest.fixture
def traced(settings, tmp_path) -> dict:
    (tmp_path / "home").mkdir()
    return merge(settings, {"run": {"trackers": ["wandb", "tensorboard"]}})


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_at_work_shows_no_key(traced, keys, tmp_path, temporary):
    with run(traced, tmp_path, **keys, WANDB_MODE="offline", TMPDIR=str(temporary), HOME=str(tmp_path / "home")) as process:
        assert holding(keys, tmp_path, temporary) == []
        assert any((tmp_path / "run" / "wandb").rglob("*.wandb"))
        lines = [" ".join(one.cmdline()) for one in psutil.Process(process.pid).children(recursive=True)]
        assert len(lines) > 10 and [line for line in lines if any(key in line for key in keys.values())] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_service_that_says_the_key_aloud_is_not_quoted(traced, keys, tmp_path, temporary, service):
    """W&B itself logs below `wandb/` what its service answers."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(merge(traced, {"run": {"folder": str(tmp_path / "run")}})))
    command = [sys.executable, "-W", "ignore", "-m", "lmm_r1_mega.cli", "train", str(tmp_path / "config.yaml")]
    own = {"WANDB_BASE_URL": f"http://127.0.0.1:{service.server_port}", "TMPDIR": str(temporary), "HOME": str(tmp_path / "home")}
    done = subprocess.run(command, env={**os.environ, **keys, **own}, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 70 and "Authorization: Basic " in done.stderr, done.stderr
    assert any(spelling in text for text in service.heard for spelling in spellings(keys["WANDB_API_KEY"])), "it reaches whom it is for"
    (tmp_path / "said").write_text(done.stdout + done.stderr)
    shutil.rmtree(tmp_path / "run" / "wandb")
    assert holding(keys, tmp_path, temporary) == []
