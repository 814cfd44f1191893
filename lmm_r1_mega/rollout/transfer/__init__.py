"""New weights for running vLLM engines: through shared memory on a host, through vLLM's own CUDA engines on GPUs."""

from lmm_r1_mega.rollout.transfer.client import SyncClient
from lmm_r1_mega.rollout.transfer.sender import send_weights

__all__ = ["SyncClient", "send_weights"]
