"""Entries to prompts and demonstrations with pictures, each when its turn comes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from PIL.Image import Image

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.images import ImageLimits, ImageRefused, ImageSource, load_image
from lmm_r1_mega.data.packing import join_visions
from lmm_r1_mega.data.prepare import Entry, image_limits
from lmm_r1_mega.data.processor import Processor
from lmm_r1_mega.schema import Prompt, Vision


@dataclass(frozen=True)
class Demonstration:
    """A prompt and the answer to imitate."""

    prompt: Prompt
    response_ids: tuple[int, ...]
    """Ends with the end-of-turn token."""


@dataclass(frozen=True)
class Picture:
    """A decoded image and its patches."""

    image: Image
    vision: Vision

    @property
    def num_bytes(self) -> int:
        return self.vision.pixel_values.nbytes + 3 * self.image.width * self.image.height


class Pictures:
    """Decoded images, each made once while it stays among those used last."""

    def __init__(self, processor: Processor, *, capacity_bytes: int = 512 * 2**20) -> None:
        self._processor = processor
        self._free_bytes = capacity_bytes
        self._kept: OrderedDict[ImageSource, Picture] = OrderedDict()

    def get(self, source: ImageSource, limits: ImageLimits) -> Picture:
        """Decode an image, or find it.

        Raises: ImageRefused where it cannot be decoded.
        """
        if source in self._kept:
            self._kept.move_to_end(source)
            return self._kept[source]
        image = load_image(source, limits)
        picture = Picture(image, self._processor.vision(image))
        self._kept[source] = picture
        self._free_bytes -= picture.num_bytes
        while self._free_bytes < 0 and len(self._kept) > 1:
            self._free_bytes += self._kept.popitem(last=False)[1].num_bytes
        return picture


class Builder:
    """Decodes the images of entries and puts prompts and demonstrations together."""

    def __init__(self, processor: Processor, settings: DataSettings) -> None:
        self._processor = processor
        self._settings = settings
        self._pictures = Pictures(processor)

    def prompt(self, entry: Entry) -> Prompt:
        """The prompt of an entry.

        Raises: ImageRefused where an image cannot be decoded or has changed since it was measured.
        """
        limits = image_limits(entry.row.file, self._settings)
        found = [self._pictures.get(source, limits) for source in entry.sources]
        counts = tuple(count for picture in found for count in self._processor.spec.num_tokens(picture.vision.grid_thw))
        if counts != entry.image_tokens:
            raise ImageRefused(f"the images take {counts} tokens and took {entry.image_tokens} at start: a file was changed")
        token_ids = entry.token_ids.tolist()
        return Prompt(
            id=entry.row.id,
            source=entry.row.source,
            text=entry.text,
            token_ids=tuple(token_ids),
            expanded_ids=self._processor.expand(token_ids, counts),
            images=tuple(picture.image for picture in found),
            vision=join_visions([picture.vision for picture in found]),
            answer=entry.row.answer,
        )

    def demonstration(self, entry: Entry) -> Demonstration:
        """The prompt and the answer of an entry.

        Raises: ImageRefused as `prompt` does.
        """
        return Demonstration(self.prompt(entry), tuple(entry.response_ids.tolist()))
