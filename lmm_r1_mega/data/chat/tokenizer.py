"""Turns to text and tokens, and back, by a model's own files but without torch and transformers, which take 400 MB to import.

All that counting tokens needs; `data.processor` adds the pixels. The only owner of the library `tokenizers`, the one below
transformers' own tokenizers: ids are the same to the last one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence as Items
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from lmm_r1_mega.data.chat.messages import Turn
from lmm_r1_mega.data.chat.model_files import read_settings
from lmm_r1_mega.data.chat.template import ChatTemplate
from lmm_r1_mega.data.chat.vision_spec import VisionSpec
from lmm_r1_mega.data.images.sizes import ImageSizes
from lmm_r1_mega.errors import BadData

_NAMED = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))


@dataclass(frozen=True)
class ChatTokenizer:
    """Turns to text and tokens, images to a number of tokens, tokens back to text."""

    spec: VisionSpec
    sizes: ImageSizes
    eos_ids: tuple[int, ...]
    """Tokens that end a response: those of `generation_config.json`, of `config.json`, the tokenizer's and the chat template's."""
    _template: ChatTemplate
    _tokenizer: Tokenizer

    @classmethod
    def load(cls, model_path: Path | str, *, min_pixels: int | None = None, max_pixels: int | None = None) -> ChatTokenizer:
        """Load from a Hugging Face folder; the pixel bounds replace the folder's own where given.

        Raises: ValueError where a file is missing, the bounds cross or turns have no end, BadData where a file is damaged.
        """
        folder = Path(model_path)
        spec = VisionSpec.load(folder)
        sizes = ImageSizes.load(folder, min_pixels=min_pixels, max_pixels=max_pixels)
        settings = read_settings(folder, "tokenizer_config.json")
        named = {name: _spelling(settings[name]) for name in _NAMED if settings.get(name)}
        tokenizer = _load_tokenizer(folder, settings)
        template = ChatTemplate.load(folder, named)
        return ChatTokenizer(
            spec=spec,
            sizes=sizes,
            eos_ids=_eos_ids(folder, tokenizer, eos_token=named.get("eos_token"), after_answer=template.after_answer()),
            _template=template,
            _tokenizer=tokenizer,
        )

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
        return self._template.render(turns, demonstration=demonstration)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of rendered texts; nothing is added or cut."""
        return [one.ids for one in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def cut_after_eos(self, token_ids: list[int]) -> list[int]:
        """What the template writes for an answer, without what follows the end-of-turn token; empty where there is none."""
        ends = [place for place, token in enumerate(token_ids) if token in self.eos_ids]
        return token_ids[: ends[0] + 1] if ends else []

    def decode(self, token_ids: Items[int]) -> str:
        """Text of a response, without special tokens."""
        return self._tokenizer.decode(list(token_ids), skip_special_tokens=True)

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

    @cached_property
    def _special_tokens(self) -> dict[int, str]:
        return {number: token.content for number, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}


def _load_tokenizer(folder: Path, settings: dict[str, Any]) -> Tokenizer:
    """The tokenizer of `tokenizer.json`, which knows all tokens that `tokenizer_config.json` names."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ValueError(f"model.path {folder} has no {path.name}: copy it from the model's own folder")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise BadData(f"model.path {folder}: {path.name} cannot be read ({error}): copy it again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    known = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    tokenizer.add_tokens([token for token in _declared(settings) if token.content not in known])
    return tokenizer


def _declared(settings: dict[str, Any]) -> list[AddedToken]:
    """Tokens that `tokenizer_config.json` names, in the order in which transformers adds those that are new."""
    numbered = settings.get("added_tokens_decoder") or {}
    named = [settings[name] for name in _NAMED if settings.get(name)]
    listed = settings.get("extra_special_tokens") or settings.get("additional_special_tokens") or []
    special = [*named, *(listed.values() if isinstance(listed, dict) else listed)]
    return [AddedToken(**numbered[number]) for number in sorted(numbered, key=int)] + [
        AddedToken(_spelling(token), special=True) for token in special
    ]


def _spelling(token: str | dict[str, Any]) -> str:
    """Of a token that is given by its text, or with all its properties."""
    return token if isinstance(token, str) else token["content"]


def _eos_ids(folder: Path, tokenizer: Tokenizer, *, eos_token: str | None, after_answer: str) -> tuple[int, ...]:
    """Tokens that end a response, each once; `after_answer` is what the chat template writes there."""
    generation, config = (read_settings(folder, name) for name in ("generation_config.json", "config.json"))
    declared = (
        generation.get("eos_token_id"),
        config.get("eos_token_id"),
        config.get("text_config", {}).get("eos_token_id"),
        tokenizer.token_to_id(eos_token) if eos_token else None,
    )
    ends = [end for ids in declared if ids is not None for end in (ids if isinstance(ids, list) else [ids])]
    written, added = tokenizer.encode(after_answer, add_special_tokens=False).ids, tokenizer.get_added_tokens_decoder()
    ends += [token for token in written if token in added][:1]
    if after_answer.strip() and not set(written) & set(ends):
        raise ValueError(
            f"model.path {folder}: the chat template ends a turn with {after_answer!r}, in tokens {written}, and none of them "
            f"ends a response: name the one that does as eos_token_id in generation_config.json, or make the text a special token"
        )
    if not ends:
        raise ValueError(f"model.path {folder} names no end-of-turn token: put eos_token_id into its generation_config.json")
    return tuple(dict.fromkeys(ends))
