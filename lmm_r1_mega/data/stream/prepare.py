"""Rows to tokens before training: every row is rendered, tokenized and its images measured, or becomes a bad row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.formats.rows import BadRow, RowRefused
from lmm_r1_mega.data.images.decode import ImageLimits, ImageRefused, ImageSource, Measured, image_folder, locate_image, measure_image
from lmm_r1_mega.data.stream.prompts import Record
from lmm_r1_mega.errors import BadData

if TYPE_CHECKING:  # without a model a file is checked without the seconds and the memory that importing torch takes
    from lmm_r1_mega.data.chat.processor import Processor

_BATCH = 1024  # rows tokenized by one call


@dataclass(frozen=True)
class PreparedRecord:
    """A row found fit for training: tokens counted, images located and measured but not kept."""

    row: Record
    text: str
    token_ids: Int[np.ndarray, "tokens"]
    """Unexpanded prompt."""
    response_ids: Int[np.ndarray, "response"]
    """The demonstration with its end-of-turn token; empty if the row has none."""
    sources: tuple[ImageSource, ...]
    image_tokens: tuple[int, ...]
    """Tokens of each image."""
    image_digests: tuple[bytes, ...]
    """Tell whether the images are still the same."""

    @property
    def prompt_length(self) -> int:
        """Tokens of the expanded prompt."""
        return len(self.token_ids) - len(self.image_tokens) + sum(self.image_tokens)


@dataclass(frozen=True)
class _Rendered:
    """A row as the chat template writes it."""

    row: Record
    prompt: str
    response: str
    """What the template writes after the prompt for the demonstration."""


class ImageChecks:
    """Locates and measures the images that the rows of one file refer to, each once."""

    def __init__(self, limits: ImageLimits, *, decode: bool) -> None:
        """`decode` reads every image whole instead of its header."""
        self._limits = limits
        self._decode = decode
        self._known: dict[str, tuple[ImageSource, Measured] | ImageRefused] = {}

    def measure(self, reference: str) -> tuple[ImageSource, Measured]:
        """Raises: ImageRefused if the image cannot be used."""
        if reference.startswith("data:"):  # megabytes that are seldom the same: not to be remembered
            return self._look_at(reference)
        known = self._known.get(reference)
        if known is None:
            try:
                known = self._look_at(reference)
            except ImageRefused as refusal:
                known = refusal
            self._known[reference] = known
        if isinstance(known, ImageRefused):
            raise known
        return known

    def _look_at(self, reference: str) -> tuple[ImageSource, Measured]:
        source = locate_image(reference, self._limits)
        return source, measure_image(source, self._limits, decode=self._decode)


class Preparer:
    """Tokenizes and checks the rows of one file."""

    def __init__(self, processor: Processor, images: ImageChecks, settings: DataSettings, *, max_tokens: int | None = None) -> None:
        """`max_tokens` limits prompt and demonstration together."""
        self._processor = processor
        self._images = images
        self._max_prompt_tokens = settings.max_prompt_tokens
        self._max_tokens = max_tokens

    def prepare(self, rows: Iterable[Record | BadRow]) -> Iterator[PreparedRecord | BadRow]:
        """Every row as an entry or a bad row, in order; bad ones stay what they are."""
        remaining = iter(rows)
        while batch := list(islice(remaining, _BATCH)):
            yield from self._prepare_batch(batch)

    def _prepare_batch(self, rows: list[Record | BadRow]) -> Iterator[PreparedRecord | BadRow]:
        rendered = [row if isinstance(row, BadRow) else self._render(row) for row in rows]
        good = [item for item in rendered if not isinstance(item, BadRow)]
        prompts = iter(self._processor.encode([item.prompt for item in good]))
        responses = iter(self._processor.encode([item.response for item in good]))
        for item in rendered:
            yield item if isinstance(item, BadRow) else self._entry(item.row, item.prompt, next(prompts), next(responses))

    def _render(self, row: Record) -> _Rendered | BadRow:
        texts = [turn.text for turn in row.turns] + [row.demonstration or ""]
        forged = next((match for text in texts if (match := self._processor.special_tokens.search(text))), None)
        if forged is not None:
            return row.refused("special_token", f"the text has the model's special token {forged.group()!r}")
        try:
            return _Rendered(row, *self._processor.render(row.turns, demonstration=row.demonstration))
        except BadData:  # the template's own fault, not that of this row
            raise
        except ValueError as error:
            return row.refused("template", str(error))

    def _entry(self, row: Record, text: str, token_ids: list[int], response_ids: list[int]) -> PreparedRecord | BadRow:
        try:
            images = [self._images.measure(reference) for reference in row.images]
            entry = PreparedRecord(
                row=row,
                text=text,
                token_ids=np.array(token_ids, dtype=np.int32),
                response_ids=np.array(self._processor.cut_after_eos(response_ids), dtype=np.int32),
                sources=tuple(source for source, _ in images),
                image_tokens=tuple(self._num_tokens(*image.size) for _, image in images),
                image_digests=tuple(image.digest for _, image in images),
            )
            self._check(entry)
        except ImageRefused as refusal:
            return row.refused("image", str(refusal))
        except RowRefused as refusal:
            return row.refused(refusal.kind, str(refusal))
        return entry

    def _check(self, entry: PreparedRecord) -> None:
        """Refuse what the template got wrong and what is too long."""
        length, total = entry.prompt_length, entry.prompt_length + len(entry.response_ids)
        num_written = int((entry.token_ids == self._processor.spec.image_token_id).sum())
        if num_written != len(entry.sources):
            raise RowRefused("template", f"the chat template wrote {num_written} image tokens for {len(entry.sources)} images")
        if entry.row.demonstration is not None and not len(entry.response_ids):
            raise RowRefused("template", "the chat template does not end the assistant's turn with an end-of-turn token")
        if length > self._max_prompt_tokens:
            detail = f"{sum(entry.image_tokens)} of them for {len(entry.sources)} images"
            raise RowRefused("too_long", f"the prompt has {length} tokens ({detail}), more than {self._max_prompt_tokens}")
        if self._max_tokens is not None and total > self._max_tokens:
            raise RowRefused("too_long", f"prompt and answer have {total} tokens, more than {self._max_tokens}")

    def _num_tokens(self, width: int, height: int) -> int:
        try:
            return self._processor.num_image_tokens(width, height)
        except ValueError as error:
            raise ImageRefused(f"an image of {width} x {height} pixels: {error}") from error


def image_limits(file: Path, settings: DataSettings) -> ImageLimits:
    """What rows of this data file may read: what lies beside the file, in the saved folder, or in a declared folder.

    Raises: ValueError if a declared folder is none.
    """
    missing = [str(root) for root in settings.image_roots if not root.is_dir()]
    if missing:
        raise ValueError(f"data.image_roots has {', '.join(missing)}, which is no folder: correct the path, or leave it out")
    return ImageLimits(
        folder=image_folder(file),
        roots=settings.image_roots,
        max_bytes=settings.max_image_bytes,
        max_pixels=settings.max_image_pixels,
        url_hosts=settings.url_hosts,
    )
