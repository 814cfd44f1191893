"""The vision tower: transformers' own module."""

from __future__ import annotations

from pathlib import Path

import torch

from lmm_r1_mega.models.device import keep_float32_exact, training_device
from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable


def build_tower(hf_path: Path, *, dtype: torch.dtype) -> torch.nn.Module:
    """The vision tower of the Hugging Face folder, its weights not yet loaded.

    Called with `pixel_values` [patches, features] and `grid_thw` [images, 3] it returns an output whose `pooler_output` is
    [merged patches, hidden].
    """
    make_torchvision_importable()
    keep_float32_exact()
    from transformers import Qwen2_5_VLConfig  # seconds to import, and only the first pipeline stage has a tower
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel

    config = Qwen2_5_VLConfig.from_pretrained(hf_path).vision_config
    config._attn_implementation = "sdpa"
    with training_device():
        tower = Qwen2_5_VisionTransformerPretrainedModel(config)
    return tower.to(dtype)
