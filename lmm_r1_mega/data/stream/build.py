"""Entries to prompts and demonstrations with images, each when its turn comes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.images.decode import ImageLimits, ImageRefused, ImageSource, decode_image, read_image
from lmm_r1_mega.data.images.patches import join_images
from lmm_r1_mega.data.stream.prepare import PreparedRecord, image_limits
from lmm_r1_mega.schema import Prompt, PromptImages


@dataclass(frozen=True)
class Demonstration:
    """A prompt and the answer to imitate."""

    prompt: Prompt
    response_ids: tuple[int, ...]
    """Ends with the end-of-turn token."""


class ImageCache:
    """Patches of images by the content of their files: each content is decoded once while it stays among those used last.

    Safe to use from several threads: one that asks for what another decodes waits for it.
    """

    def __init__(self, processor: Processor, *, capacity_bytes: int = 256 * 2**20) -> None:
        self._processor = processor
        self._free_bytes = capacity_bytes
        self._kept: OrderedDict[bytes, Future[PromptImages]] = OrderedDict()
        self._lock = Lock()

    def get(self, source: ImageSource, limits: ImageLimits) -> PromptImages:
        """Read an image, and decode it if its content is new.

        Raises: ImageRefused if it cannot be decoded.
        """
        content = read_image(source, limits)
        key = hashlib.blake2b(content, digest_size=16).digest()
        with self._lock:
            known = self._kept.get(key)
            promise = self._kept.setdefault(key, Future())
            self._kept.move_to_end(key)
        if known is None:
            self._decode(content, source, limits, key=key)
        return promise.result()

    def _decode(self, content: bytes, source: ImageSource, limits: ImageLimits, *, key: bytes) -> None:
        """Keep the promise of a content; one that cannot be decoded is forgotten, for its limits may be others next time."""
        promise = self._kept[key]
        try:
            images = self._processor.prompt_images(decode_image(content, source, limits))
        except BaseException as error:
            with self._lock:
                del self._kept[key]
            promise.set_exception(error)
            return
        promise.set_result(images)
        with self._lock:
            self._free_bytes -= images.patches.nbytes
            self._forget()

    def _forget(self) -> None:
        """Let those go that were used longest ago until the rest fits; who has them keeps them."""
        for key in [key for key, promise in self._kept.items() if promise.done()][:-1]:
            if self._free_bytes >= 0:
                return
            self._free_bytes += self._kept.pop(key).result().patches.nbytes


class Builder:
    """Decodes the images of entries and puts prompts and demonstrations together."""

    def __init__(self, processor: Processor, settings: DataSettings) -> None:
        self._processor = processor
        self._settings = settings
        self._images = ImageCache(processor)

    def num_bytes(self, entry: PreparedRecord) -> int:
        """Memory that the images of an entry will take."""
        return sum(entry.image_tokens) * self._processor.token_bytes

    def prompt(self, entry: PreparedRecord) -> Prompt:
        """The prompt of an entry.

        Raises: ImageRefused if an image cannot be decoded or has changed since it was measured.
        """
        limits = image_limits(entry.row.file, self._settings)
        prompt_images = [self._images.get(source, limits) for source in entry.sources]
        counts = tuple(count for images in prompt_images for count in self._processor.spec.num_tokens(images.grid_thw))
        if counts != entry.image_tokens:
            raise ImageRefused(f"the images take {counts} tokens and took {entry.image_tokens} at start: a file was changed")
        token_ids = entry.token_ids.tolist()
        return Prompt(
            id=entry.row.id,
            source=entry.row.source,
            text=entry.text,
            token_ids=tuple(token_ids),
            expanded_ids=self._processor.expand(token_ids, counts),
            images=join_images(prompt_images),
            answer=entry.row.answer,
        )

    def demonstration(self, entry: PreparedRecord) -> Demonstration:
        """The prompt and the answer of an entry.

        Raises: ImageRefused as `prompt` does.
        """
        return Demonstration(self.prompt(entry), tuple(entry.response_ids.tolist()))
