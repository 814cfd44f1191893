"""What is imported along."""

import subprocess
import sys

import pytest

RANK = """
import sys
import lmm_r1_mega.training.engine
assert "megatron.core" in sys.modules and "wandb" not in sys.modules
import wandb
assert wandb.init
"""
DRIVER = """
import sys
import lmm_r1_mega.train, lmm_r1_mega.driver.sft
assert not {"megatron.core", "vllm", "transformers", "wandb"} & set(sys.modules)
"""


@pytest.mark.parametrize("program", [RANK, DRIVER], ids=["a rank loads no tracker", "the driver loads no engine"])
def test_nobody_loads_what_others_work_with(program):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], timeout=120, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
