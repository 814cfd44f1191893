"""The vision encoder: transformers' own module."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch

from lmm_r1_mega.families.registry import FAMILIES
from lmm_r1_mega.models.device import keep_float32_exact, training_device
from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable


def build_tower(hf_path: Path, *, family: str, dtype: torch.dtype) -> torch.nn.Module:
    """The vision encoder of the Hugging Face folder, its weights not yet loaded.

    Called with `pixel_values` [patches, features] and `grid_thw` [images, 3] it returns an output whose `pooler_output` is
    [merged patches, hidden].
    """
    make_torchvision_importable()
    keep_float32_exact()
    from transformers import AutoConfig  # seconds to import, and only the first pipeline stage has a vision encoder

    config = AutoConfig.from_pretrained(hf_path, local_files_only=True, trust_remote_code=False).vision_config
    config._attn_implementation = "sdpa"
    module, _, name = (FAMILIES[family].tower_class or "").partition(":")
    with training_device():
        tower = getattr(importlib.import_module(module), name)(config)
    return tower.to(dtype)
