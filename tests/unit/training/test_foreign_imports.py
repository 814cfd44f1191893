"""What Megatron would import along."""

import subprocess
import sys

IMPORT = """
import sys
import lmm_r1_mega.run, lmm_r1_mega.cluster.workers
assert "megatron.core" in sys.modules and "wandb" not in sys.modules
import wandb
assert wandb.init
"""


def test_a_rank_and_the_driver_do_not_load_a_tracker_that_nobody_asked_for():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", IMPORT], timeout=120, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
