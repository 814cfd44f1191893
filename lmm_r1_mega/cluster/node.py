"""Ray on one machine of a cluster, for as long as this program runs: `python -m lmm_r1_mega.cluster.node [OPTION of ray start ...]`.

slurm/start_ray.sh starts it on every node and ends it with SIGUSR2, the one signal that srun passes on and does nothing else with.
Ray's files, and the temporary files of all that it starts, lie in a folder that goes with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from lmm_r1_mega.errors import DONE
from lmm_r1_mega.process.linux import WAIT_S
from lmm_r1_mega.process.session_folder import RAY, WORKERS_TMP, session_folder


def main(options: list[str]) -> int:
    """Run Ray until a signal comes, or it ends by itself: then the status is its own."""
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda *_: sys.exit(DONE))
    with session_folder() as folder:
        environment = {**os.environ, "TMPDIR": str(folder / WORKERS_TMP), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", f"--temp-dir={folder / RAY}"]
        ray = subprocess.Popen([*command, *options], env=environment)
        try:
            while ray.poll() is None:
                time.sleep(WAIT_S)
            return ray.returncode
        finally:
            ray.terminate()
            ray.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
