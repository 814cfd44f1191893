"""New weights for running vLLM engines: through shared memory on a host, through vLLM's own CUDA engines on GPUs."""

from lmm_r1_mega.rollout.transfer.client import SyncClient, WeightSyncError, init_info_of_engine
from lmm_r1_mega.rollout.transfer.sender import WeightSender, open_sender

__all__ = ["SyncClient", "WeightSender", "WeightSyncError", "init_info_of_engine", "open_sender"]
