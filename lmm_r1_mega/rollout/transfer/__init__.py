"""New weights for running vLLM engines: through shared memory on a host, through vLLM's own CUDA engines on GPUs."""

from lmm_r1_mega.rollout.transfer.client import NamedTensors, SyncClient, WeightSyncError, init_info_of_engine
from lmm_r1_mega.rollout.transfer.sender import LARGEST_BUCKET_BYTES, Follower, SharedMemorySender, WeightSender

__all__ = [
    "LARGEST_BUCKET_BYTES",
    "Follower",
    "NamedTensors",
    "SharedMemorySender",
    "SyncClient",
    "WeightSender",
    "WeightSyncError",
    "init_info_of_engine",
]
