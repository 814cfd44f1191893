"""Imported once by the server that ranks are forked from: everything whose import takes seconds."""

from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable

make_torchvision_importable()

import transformers.models.qwen2_5_vl.modeling_qwen2_5_vl  # noqa: E402, F401

import lmm_r1_mega.training.engine  # noqa: E402, F401
