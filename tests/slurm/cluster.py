"""A real SLURM of two nodes on this machine, and jobs of slurm/train.sbatch on it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEADLINE_S = 600
STAND_IN = """#!/usr/bin/env bash
# In place of lmm-r1-mega: notes its arguments, then does what the next line of the plan says.
cd "$STAND_IN"
echo "$$ $*" >>started
read -r todo <plan
sed -i 1d plan
save() { mkdir -p "run/checkpoints/step_$(wc -l <started)"; }
case "$todo" in
    finish) save ;;
    lose) exit 75 ;;
    fail) exit 70 ;;
    work) trap 'save; exit 75' TERM; touch run/run.json; while :; do sleep 0.1; done ;;
    hang) trap '' TERM; while :; do sleep 0.1; done ;;
esac
"""


def missing_programs() -> list[str]:
    """What a SLURM needs and this machine has not."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    return [name for name in ("slurmctld", "slurmd", "sbatch", "munged") if not shutil.which(name, path=path)]


@dataclass(frozen=True)
class Job:
    """A submitted job; with a stand-in, `folder` is where that lies."""

    number: str
    folder: Path

    def field(self, name: str) -> str:
        """A field of `scontrol show job`."""
        said = command("scontrol", "show", "job", self.number)
        return re.search(rf"\b{name}=(\S*)", said)[1]

    def wait(self, *states: str) -> Job:
        """Wait until the job is in a state."""
        wait_for(lambda: self.field("JobState") in states, lambda: f"{self.field('JobState')}, not {states}: {self.log}")
        return self

    @property
    def status(self) -> int:
        """Exit status of a job that is over."""
        return int(self.wait("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL").field("ExitCode").partition(":")[0])

    @property
    def log(self) -> str:
        """What the job has printed."""
        file = self.folder / "log"
        return file.read_text() if file.is_file() else ""

    @property
    def starts(self) -> list[str]:
        """Arguments of each start of the stand-in."""
        file = self.folder / "started"
        return [line.partition(" ")[2] for line in file.read_text().splitlines()] if file.is_file() else []

    def wait_for_start(self, number: int) -> None:
        """Wait until the stand-in has been started so often."""
        wait_for(lambda: len(self.starts) == number, lambda: f"{self.starts}: {self.log}")


def command(*words: str) -> str:
    """What a command prints."""
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout


def wait_for(is_so, why) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, why()
        time.sleep(0.1)


def submit(folder: Path, *options: str, words: tuple[str, ...], variables: dict[str, str]) -> Job:
    """A job of the template in the repository's root."""
    environment = {**{name: value for name, value in os.environ.items() if not name.startswith("RAY_")}, **variables}
    done = subprocess.run(
        ["sbatch", "--parsable", f"--output={folder}/log", *options, "slurm/train.sbatch", str(folder / "run"), *words],
        cwd=variables.get("SUBMIT_FOLDER", ROOT), env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Job(done.stdout.strip(), folder)


def submit_stand_in(folder: Path, *plan: str, options: tuple[str, ...] = (), ray: Path | None = None) -> Job:
    """A job whose starts do one line of the plan each; with Ray on all nodes, which has a temporary directory, or alone."""
    (folder / "bin").mkdir(parents=True)
    (folder / "run").mkdir()
    (folder / "plan").write_text("".join(f"{line}\n" for line in plan))
    (folder / "bin" / "activate").write_text(f'PATH="{folder}/bin:{Path(sys.executable).parent}:$PATH"\n')
    program = folder / "bin" / "lmm-r1-mega"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    (folder / "slurm").mkdir()
    for name in ("train.sbatch", "start_ray.sh"):
        shutil.copy(ROOT / "slurm" / name, folder / "slurm" / name)
    if ray is None:
        (folder / "slurm" / "start_ray.sh").write_text('exec "$@"\n')
    variables = {"VENV": str(folder), "STAND_IN": str(folder), "SUBMIT_FOLDER": str(folder), "TMPDIR": str(ray or "/tmp")}
    return submit(folder, "--exclusive=user", *options, words=("a.yaml",), variables=variables)
