"""What all tests share: transformers and vLLM import torchvision, which must be made importable first."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lmm_r1_mega.cluster  # noqa: F401 (settles what Ray reads when it is imported, by whichever test)
from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable

make_torchvision_importable()
# A shell that starts the tests in its background has them ignore Ctrl-C, and so would every program that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, where one can be mounted."""
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(path)], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def make_read_only(disk: Path) -> Callable[[], None]:
    """From the call on `disk` can only be read, which is what the kernel does to one that fails."""
    return lambda: subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
