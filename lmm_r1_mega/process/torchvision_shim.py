"""Makes a CUDA build of torchvision importable beside a CPU build of torch.

The registry has no CPU torchvision for this torch. Its pure-Python transforms, all that the Qwen2.5-VL processors of
transformers and vLLM use, work once the two operators that its import names are declared. torchvision 0.28, torch 2.13.
"""

from __future__ import annotations

import sys

import torch

_library: torch.library.Library | None = None  # unloading it would undefine the operators


def make_torchvision_importable() -> None:
    """Declare torchvision's missing operators; a torchvision that loads, or none at all, is left alone."""
    global _library
    try:
        import torchvision  # noqa: F401
    except ModuleNotFoundError:
        return
    except RuntimeError:
        for name in [module for module in sys.modules if module.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # the failed import leaves its submodules behind
        _library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            _library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
