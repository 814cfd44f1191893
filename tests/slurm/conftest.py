"""A SLURM for all tests of this folder, which is ended when they are."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import missing_programs

TWO_NODES = Path(__file__).parent / "two_nodes.sh"


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary directory with a short path, as the sockets of Ray want it."""
    with tempfile.TemporaryDirectory(prefix="sl", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def slurm() -> Iterator[None]:
    if missing_programs():
        pytest.skip(f"{', '.join(missing_programs())} not found (Debian: apt-get install slurmctld slurmd slurm-client munge)")
    with tempfile.TemporaryDirectory(prefix="slurm", dir="/tmp") as parent, pytest.MonkeyPatch.context() as patch:
        folder = f"{parent}/s"
        os.chmod(parent, 0o755)  # munge refuses a socket that others cannot reach
        try:
            said = subprocess.run(["bash", TWO_NODES, "start", folder], capture_output=True, text=True, check=False, timeout=120)
            if said.returncode:
                pytest.skip(f"no SLURM could be started here: {said.stderr.strip().splitlines()[0]}")
            for name, value in re.findall(r"(\w+)=(\S+)", said.stdout):
                patch.setenv(name, value)
            yield
        finally:
            subprocess.run(["bash", TWO_NODES, "stop", folder], check=True, timeout=120)
