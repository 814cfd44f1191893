"""Everything that a model's own files say about prompts, by transformers' own tokenizer and image processor (5.19).

One class for the driver, the rollout engine and `data check`. The pixel values are computed by the class that vLLM uses too, with the
same bounds (`image_settings`), so both engines see the same image. The image processor is loaded on its own: a folder needs no video
processor.
"""

from __future__ import annotations

import re
from collections.abc import Sequence as Items
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL.Image import Image

from lmm_r1_mega.data.chat.messages import Turn
from lmm_r1_mega.data.chat.model_files import read_settings
from lmm_r1_mega.data.chat.template import ChatTemplate
from lmm_r1_mega.data.chat.vision_spec import VisionSpec
from lmm_r1_mega.data.images.patches import PixelScale
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable
from lmm_r1_mega.schema import PromptImages

if TYPE_CHECKING:
    from transformers import BaseImageProcessor, PreTrainedTokenizerFast

_TEMPLATE_FILE = "chat_template.jinja"


@dataclass(frozen=True)
class Processor:
    """Turns to text and tokens, images to patches and a number of tokens, tokens back to text."""

    spec: VisionSpec
    eos_ids: tuple[int, ...]
    """Tokens that end a response: those of `generation_config.json`, of `config.json`, the tokenizer's and the chat template's."""
    _template: ChatTemplate
    _tokenizer: PreTrainedTokenizerFast
    _image_processor: BaseImageProcessor

    @classmethod
    def load(cls, model_path: Path | str, *, min_pixels: int | None = None, max_pixels: int | None = None) -> Processor:
        """Load from a Hugging Face folder; the pixel bounds replace the folder's own if given.

        Raises: ValueError if a file is missing, the bounds cross or turns have no end, BadData if a file is damaged.
        """
        folder = Path(model_path)
        spec = VisionSpec.load(folder)
        image_processor = _load_image_processor(folder, min_pixels=min_pixels, max_pixels=max_pixels)
        tokenizer = _load_tokenizer(folder)
        template = ChatTemplate(_template_source(folder, tokenizer), tokenizer.special_tokens_map)
        return cls(spec, _eos_ids(folder, tokenizer, after_answer=template.after_answer()), template, tokenizer, image_processor)

    @cached_property
    def forbidden_ids(self) -> tuple[int, ...]:
        """Tokens that a response must not contain: vision tokens and special ones, save those that end it."""
        spec = self.spec
        vision = {spec.image_token_id, spec.video_token_id, spec.vision_start_token_id, spec.vision_end_token_id}
        return tuple(sorted((vision | self._special_tokens.keys()) - set(self.eos_ids)))

    @cached_property
    def special_tokens(self) -> re.Pattern[str]:
        """Matches the spelling of a special token; text of a record must not contain one, or it could forge turns and images."""
        spellings = sorted(self._special_tokens.values(), key=len, reverse=True)
        return re.compile("|".join(re.escape(token) for token in spellings))

    def render(self, turns: Items[Turn], *, demonstration: str | None = None) -> tuple[str, str]:
        """Text of the prompt by the model's own template, and the text that it writes after it for the assistant's answer.

        Raises: ValueError if the template refuses the turns, or writes the prompt of an answered chat differently.
        """
        return self._template.render(turns, demonstration=demonstration)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of rendered texts; nothing is added or cut."""
        return _encode(self._tokenizer, texts)

    def cut_after_eos(self, token_ids: list[int]) -> list[int]:
        """What the template writes for an answer, without what follows the end-of-turn token; empty if there is none."""
        ends = [index for index, token in enumerate(token_ids) if token in self.eos_ids]
        return token_ids[: ends[0] + 1] if ends else []

    def decode(self, token_ids: Items[int]) -> str:
        """Text of a response, without special tokens."""
        return self._tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def expand(self, token_ids: Items[int], counts: Items[int]) -> tuple[int, ...]:
        """Repeat the i-th image token `counts[i]` times.

        Example: ids [7, image, 8], counts [3] -> (7, image, image, image, 8)

        Raises: ValueError if ids and counts disagree on the number of images.
        """
        num_images = sum(token == self.spec.image_token_id for token in token_ids)
        if num_images != len(counts):
            raise ValueError(f"{num_images} image tokens in the text for {len(counts)} images")
        remaining = iter(counts)
        expanded: list[int] = []
        for token in token_ids:
            expanded += [token] * next(remaining) if token == self.spec.image_token_id else [token]
        return tuple(expanded)

    @property
    def image_settings(self) -> dict[str, int]:
        """Pixel bounds in force; vLLM must get the same."""
        size = self._image_processor.size
        return {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}

    @cached_property
    def pixel_scale(self) -> PixelScale:
        """How the vision tower's numbers come from the patches of `images`."""
        return _pixel_scale(self._image_processor)

    @property
    def token_bytes(self) -> int:
        """Memory of one image token's patches."""
        return 3 * (self._image_processor.patch_size * self._image_processor.merge_size) ** 2

    def num_image_tokens(self, width: int, height: int) -> int:
        """Tokens of an image of this size, by the image processor's own count of patches.

        Example: 100 x 50 pixels are scaled to 112 x 56, 8 x 4 patches, of which 2 x 2 are a token -> 8

        Raises: ValueError if it is too narrow.
        """
        try:
            num_patches = self._image_processor.get_number_of_image_patches(height, width)
        except ValueError as error:
            raise ValueError(f"{error}: crop it") from error
        return num_patches // self._image_processor.merge_size**2

    def prompt_images(self, image: Image) -> PromptImages:
        """Patches of one RGB image, resized within the bounds."""
        features = self._image_processor(images=[image], do_rescale=False, do_normalize=False, return_tensors="pt")
        frames = features["pixel_values"].unflatten(1, (3, self.pixel_scale.frames, -1))  # all the same
        return PromptImages(patches=frames[:, :, 0].flatten(1).contiguous(), grid_thw=features["image_grid_thw"])

    @cached_property
    def _special_tokens(self) -> dict[int, str]:
        return {number: token.content for number, token in self._tokenizer.added_tokens_decoder.items() if token.special}


def load_pixel_scale(model_path: Path | str) -> PixelScale:
    """`Processor.pixel_scale` of a Hugging Face folder, for whoever needs nothing else of its processor."""
    return _pixel_scale(_load_image_processor(Path(model_path)))


def _load_image_processor(folder: Path, *, min_pixels: int | None = None, max_pixels: int | None = None) -> BaseImageProcessor:
    # transformers 5 writes the settings into the whole processor's file, which goes first
    if not (read_settings(folder, "processor_config.json").get("image_processor") or read_settings(folder, "preprocessor_config.json")):
        raise ValueError(f"model.path {folder} has no preprocessor_config.json: copy it from the model's own folder")
    bounds = {name: bound for name, bound in (("min_pixels", min_pixels), ("max_pixels", max_pixels)) if bound is not None}
    make_torchvision_importable()
    from transformers import AutoImageProcessor  # imports torchvision, which must be importable first

    try:
        image_processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **bounds)
        low, high = image_processor.size["shortest_edge"], image_processor.size["longest_edge"]
        are_crossed = low > high
    except Exception as error:  # readers raise what they like on damaged files
        raise BadData(f"model.path {folder}: the image processor cannot be read ({error}): copy its files again") from error
    if are_crossed:
        raise ValueError(f"data.min_pixels {low} is above data.max_pixels {high}: lower the first, or raise the second")
    return image_processor


def _load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    read_settings(folder, "tokenizer_config.json")  # raises if it is damaged
    if not (folder / "tokenizer.json").is_file():
        raise ValueError(f"model.path {folder} has no tokenizer.json: copy it from the model's own folder")
    from transformers import AutoTokenizer  # behind the image processor, whose torchvision must be importable

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # readers raise what they like on damaged files
        raise BadData(f"model.path {folder}: tokenizer.json cannot be read ({error}): copy it again") from error


def _encode(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
    if not texts:
        return []
    plain: dict[str, Any] = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
    return tokenizer(texts, add_special_tokens=False, padding=False, truncation=False, split_special_tokens=False, **plain)["input_ids"]


def _template_source(folder: Path, tokenizer: PreTrainedTokenizerFast) -> str:
    """A `chat_template.json`, which transformers 4 wrote for the whole processor, goes before the template in `tokenizer_config.json`,
    which in Qwen2.5-VL knows no images.
    """
    has_own_file = (folder / _TEMPLATE_FILE).is_file()
    source = (None if has_own_file else read_settings(folder, "chat_template.json").get("chat_template")) or tokenizer.chat_template
    if isinstance(source, list):
        source = {entry["name"]: entry["template"] for entry in source}
    source = source.get("default") if isinstance(source, dict) else source
    if source is None:
        raise ValueError(f"model.path {folder} has a tokenizer without a chat template: add {_TEMPLATE_FILE}")
    return source


def _eos_ids(folder: Path, tokenizer: PreTrainedTokenizerFast, *, after_answer: str) -> tuple[int, ...]:
    """Tokens that end a response, each once; `after_answer` is what the chat template writes there."""
    generation, config = (read_settings(folder, name) for name in ("generation_config.json", "config.json"))
    declared = (
        generation.get("eos_token_id"),
        config.get("eos_token_id"),
        config.get("text_config", {}).get("eos_token_id"),
        tokenizer.eos_token_id,
    )
    ends = [end for ids in declared if ids is not None for end in (ids if isinstance(ids, list) else [ids])]
    [written] = _encode(tokenizer, [after_answer])
    ends += [token for token in written if token in tokenizer.added_tokens_decoder][:1]
    if after_answer.strip() and not set(written) & set(ends):
        raise ValueError(
            f"model.path {folder}: the chat template ends a turn with {after_answer!r}, in tokens {written}, and none of them "
            f"ends a response: name the one that does as eos_token_id in generation_config.json, or make the text a special token"
        )
    if not ends:
        raise ValueError(f"model.path {folder} names no end-of-turn token: put eos_token_id into its generation_config.json")
    return tuple(dict.fromkeys(ends))


def _pixel_scale(image_processor: BaseImageProcessor) -> PixelScale:
    return PixelScale(
        mean=tuple(image_processor.image_mean),
        std=tuple(image_processor.image_std),
        factor=image_processor.rescale_factor,
        frames=image_processor.temporal_patch_size,
    )
