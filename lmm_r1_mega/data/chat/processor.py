"""Everything that a model's own files say about prompts: its tokenizer, and its image processor (transformers 5.19).

The pixel values are computed by the class that vLLM uses too, with the same bounds (`image_settings`), so both engines see the
same image. The image processor is loaded on its own: a folder needs no video processor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL.Image import Image

from lmm_r1_mega.data.chat.tokenizer import ChatTokenizer
from lmm_r1_mega.data.images.patches import PixelScale
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable
from lmm_r1_mega.schema import PromptImages


@dataclass(frozen=True)
class Processor(ChatTokenizer):
    """Turns to text and tokens, images to patches, tokens back to text."""

    _image_processor: Any

    @classmethod
    def load(cls, model_path: Path | str, *, min_pixels: int | None = None, max_pixels: int | None = None) -> Processor:
        """Load as `ChatTokenizer.load` does, and the image processor."""
        text = ChatTokenizer.load(model_path, min_pixels=min_pixels, max_pixels=max_pixels)
        bounds = {"min_pixels": text.sizes.min_pixels, "max_pixels": text.sizes.max_pixels}
        try:
            image_processor = _load_image_processor(model_path, **bounds)
        except Exception as error:  # readers raise what they like on damaged files
            raise BadData(f"model.path {model_path}: the image processor cannot be read ({error}): copy its files again") from error
        return cls(text.spec, text.sizes, text.eos_ids, text._template, text._tokenizer, image_processor)

    @property
    def image_settings(self) -> dict[str, int]:
        """Pixel bounds in force; vLLM must get the same."""
        return {"min_pixels": self.sizes.min_pixels, "max_pixels": self.sizes.max_pixels}

    @cached_property
    def pixel_scale(self) -> PixelScale:
        """How the vision tower's numbers come from the patches of `images`."""
        return _pixel_scale(self._image_processor)

    @property
    def token_bytes(self) -> int:
        """Memory of one image token's patches."""
        return 3 * self.sizes.side**2

    def prompt_images(self, image: Image) -> PromptImages:
        """Patches of one RGB image, resized within the bounds."""
        features = self._image_processor(images=[image], do_rescale=False, do_normalize=False, return_tensors="pt")
        frames = features["pixel_values"].unflatten(1, (3, self.pixel_scale.frames, -1))  # all the same
        return PromptImages(patches=frames[:, :, 0].flatten(1).contiguous(), grid_thw=features["image_grid_thw"])


def load_pixel_scale(model_path: Path | str) -> PixelScale:
    """`Processor.pixel_scale` of a Hugging Face folder, for whoever needs nothing else of its processor."""
    return _pixel_scale(_load_image_processor(model_path))


def _load_image_processor(model_path: Path | str, **bounds: int) -> Any:
    make_torchvision_importable()
    from transformers import AutoImageProcessor  # imports torchvision, which must be importable first

    return AutoImageProcessor.from_pretrained(model_path, local_files_only=True, trust_remote_code=False, **bounds)


def _pixel_scale(image_processor: Any) -> PixelScale:
    return PixelScale(
        mean=tuple(image_processor.image_mean),
        std=tuple(image_processor.image_std),
        factor=image_processor.rescale_factor,
        frames=image_processor.temporal_patch_size,
    )
