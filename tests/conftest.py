"""What all tests share: transformers and vLLM import torchvision, which must be made importable first."""

from lmm_r1_mega.torchvision_shim import make_torchvision_importable

make_torchvision_importable()
