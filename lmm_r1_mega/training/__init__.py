"""One Megatron rank: engine, optimizer, schedule, checkpoints and export."""

import importlib
import sys

# megatron.core 0.16.1 imports wandb where it is installed, for an inference engine that is not used here: a third of a second a process,
# and two folders in the temporary directory that stay when a process is killed.
if "wandb" not in sys.modules:
    sys.modules["wandb"] = None  # type: ignore[assignment]
    importlib.import_module("megatron.core")
    del sys.modules["wandb"]
