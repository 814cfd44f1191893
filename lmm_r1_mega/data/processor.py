"""The only owner of a model's Hugging Face tokenizer and image processor (transformers 5.19).

The pixel values are computed by the class that vLLM uses too, with the same bounds (`image_settings`), so both engines see the
same picture. Tokenizer and image processor are loaded on their own: a folder needs no video processor. A `chat_template.json`, which
transformers 4 wrote for the whole processor, goes before the template in `tokenizer_config.json`, which in Qwen2.5-VL knows no images.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence as Items
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from PIL.Image import Image

from lmm_r1_mega.data.chat import Turn
from lmm_r1_mega.data.patches import PixelScale
from lmm_r1_mega.data.rope import VisionSpec
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.schema import Vision
from lmm_r1_mega.torchvision_shim import make_torchvision_importable


@dataclass(frozen=True)
class Processor:
    """Turns to text and tokens, images to patches, tokens back to text."""

    spec: VisionSpec
    eos_ids: tuple[int, ...]
    """Tokens that end a response, by `generation_config.json`, else `config.json`, else the tokenizer."""
    _tokenizer: Any
    _image_processor: Any

    @classmethod
    def load(cls, model_path: Path | str, *, min_pixels: int | None = None, max_pixels: int | None = None) -> Processor:
        """Load from a Hugging Face folder; the pixel bounds replace the folder's own where given.

        Raises: ValueError where a file is missing or the bounds cross.
        """
        folder = Path(model_path)
        spec = VisionSpec.load(folder)
        _check_files(folder)
        make_torchvision_importable()
        from transformers import AutoImageProcessor, AutoTokenizer  # two seconds that --help need not wait for

        bounds = {name: value for name, value in (("min_pixels", min_pixels), ("max_pixels", max_pixels)) if value is not None}
        loading = {"local_files_only": True, "trust_remote_code": False}
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, **loading)
            image_processor = AutoImageProcessor.from_pretrained(folder, **loading, **bounds)
        except Exception as error:  # readers in Rust and Python raise what they like on damaged files
            raise BadData(f"model.path {folder}: tokenizer or image processor cannot be read ({error}): copy the files again") from error
        if not tokenizer.is_fast:
            raise ValueError(f"model.path {folder} has a tokenizer without a tokenizer.json: save the tokenizer again with transformers 5")
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
        if not (folder / "chat_template.jinja").is_file():
            tokenizer.chat_template = _read_json(folder / "chat_template.json").get("chat_template", tokenizer.chat_template)
        if tokenizer.chat_template is None:
            raise ValueError(f"model.path {folder} has a tokenizer without a chat template: add chat_template.jinja")
        processor = cls(
            spec=spec,
            eos_ids=_eos_ids(folder, tokenizer),
            _tokenizer=tokenizer,
            _image_processor=image_processor,
        )
        processor._check_bounds()
        return processor

    @property
    def image_settings(self) -> dict[str, int]:
        """Pixel bounds in force; vLLM must get the same."""
        size = self._image_processor.size
        return {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}

    @cached_property
    def pixel_scale(self) -> PixelScale:
        """How the vision tower's numbers come from the patches of `vision`."""
        return _pixel_scale(self._image_processor)

    @property
    def token_bytes(self) -> int:
        """Memory of one image token's patches."""
        return 3 * (self.spec.merge_size * self._image_processor.patch_size) ** 2

    @cached_property
    def forbidden_ids(self) -> tuple[int, ...]:
        """Tokens that a response must not contain: vision tokens and special ones, save those that end it."""
        spec = self.spec
        vision = {spec.image_token_id, spec.video_token_id, spec.vision_start_token_id, spec.vision_end_token_id}
        return tuple(sorted((vision | self._special_tokens.keys()) - set(self.eos_ids)))

    @cached_property
    def special_tokens(self) -> re.Pattern[str]:
        """Matches the spelling of a special token; text of a row must not contain one, or it could forge turns and images."""
        spellings = sorted(self._special_tokens.values(), key=len, reverse=True)
        return re.compile("|".join(re.escape(token) for token in spellings))

    def render(self, turns: Items[Turn], *, demonstration: str | None = None) -> tuple[str, str]:
        """Text of the prompt by the model's own template, and the text that it writes after it for the assistant's answer.

        Raises: ValueError where the template refuses the turns, or writes the prompt of an answered chat differently.
        """
        messages = [{"role": turn.role, "content": _content(turn)} for turn in turns]
        prompt = self._apply_template(messages, opens_answer=True)
        if demonstration is None:
            return prompt, ""
        whole = self._apply_template([*messages, {"role": "assistant", "content": demonstration}], opens_answer=False)
        if not whole.startswith(prompt):
            raise ValueError("the chat template writes the prompt of an answered chat differently from an open one")
        return prompt, whole[len(prompt) :]

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of rendered texts; nothing is added or cut.

        By the library below transformers, which would also make offsets and masks: half of the time for what nobody reads.
        """
        return [one.ids for one in self._tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def cut_after_eos(self, token_ids: list[int]) -> list[int]:
        """What the template writes for an answer, without what follows the end-of-turn token; empty where there is none."""
        ends = [place for place, token in enumerate(token_ids) if token in self.eos_ids]
        return token_ids[: ends[0] + 1] if ends else []

    def decode(self, token_ids: Items[int]) -> str:
        """Text of a response, without special tokens."""
        return self._tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def num_image_tokens(self, width: int, height: int) -> int:
        """Tokens that an image of this size takes in the prompt.

        Raises: ValueError where the processor refuses its shape.
        """
        return self._image_processor.get_number_of_image_patches(height, width, {}) // self.spec.merge_size**2

    def vision(self, image: Image) -> Vision:
        """Patches of one RGB image, resized within the bounds."""
        features = self._image_processor(images=[image], do_rescale=False, do_normalize=False, return_tensors="pt")
        frames = features["pixel_values"].unflatten(1, (3, self.pixel_scale.frames, -1))  # all the same
        return Vision(patches=frames[:, :, 0].flatten(1).contiguous(), grid_thw=features["image_grid_thw"])

    def expand(self, token_ids: Items[int], counts: Items[int]) -> tuple[int, ...]:
        """Repeat the i-th image token `counts[i]` times.

        Example: ids [7, image, 8], counts [3] -> (7, image, image, image, 8)

        Raises: ValueError where ids and counts disagree on the number of images.
        """
        found = list(token_ids).count(self.spec.image_token_id)
        if found != len(counts):
            raise ValueError(f"{found} image tokens in the text for {len(counts)} images: the chat template must write one an image")
        remaining = iter(counts)
        expanded: list[int] = []
        for token in token_ids:
            expanded += [token] * next(remaining) if token == self.spec.image_token_id else [token]
        return tuple(expanded)

    @property
    def _special_tokens(self) -> dict[int, str]:
        return {number: token.content for number, token in self._tokenizer.added_tokens_decoder.items() if token.special}

    def _apply_template(self, messages: list[dict[str, Any]], *, opens_answer: bool) -> str:
        try:
            return self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opens_answer)
        except TemplateError as error:
            raise ValueError(f"the chat template refuses the turns: {error}") from error

    def _check_bounds(self) -> None:
        low, high = self.image_settings["min_pixels"], self.image_settings["max_pixels"]
        if low > high:
            raise ValueError(f"data.min_pixels {low} is above data.max_pixels {high}: lower the first, or raise the second")


def load_pixel_scale(model_path: Path | str) -> PixelScale:
    """`Processor.pixel_scale` of a Hugging Face folder, for whoever needs nothing else of its processor."""
    make_torchvision_importable()
    from transformers import AutoImageProcessor

    return _pixel_scale(AutoImageProcessor.from_pretrained(model_path, local_files_only=True, trust_remote_code=False))


def _pixel_scale(image_processor: Any) -> PixelScale:
    return PixelScale(
        mean=tuple(image_processor.image_mean),
        std=tuple(image_processor.image_std),
        factor=image_processor.rescale_factor,
        frames=image_processor.temporal_patch_size,
    )


def _content(turn: Turn) -> str | list[dict[str, str]]:
    """A string where there is no image, as templates of text models want it."""
    if not turn.num_images:
        return turn.text
    return [{"type": "image"} if part is None else {"type": "text", "text": part} for part in turn.parts]


def _check_files(folder: Path) -> None:
    for alternatives in (("tokenizer.json", "vocab.json", "tokenizer.model"), ("preprocessor_config.json", "processor_config.json")):
        if not any((folder / name).is_file() for name in alternatives):
            raise ValueError(f"model.path {folder} has no {alternatives[0]}: copy it from the model's own folder")


def _eos_ids(folder: Path, tokenizer: Any) -> tuple[int, ...]:
    generation, config = (_read_json(folder / name) for name in ("generation_config.json", "config.json"))
    declared = (
        generation.get("eos_token_id"),
        config.get("eos_token_id"),
        config.get("text_config", {}).get("eos_token_id"),
        tokenizer.eos_token_id,
    )
    found = next((ids for ids in declared if ids is not None), None)
    if found is None:
        raise ValueError(f"model.path {folder} names no end-of-turn token: put eos_token_id into its generation_config.json")
    return tuple(found) if isinstance(found, list) else (found,)


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
