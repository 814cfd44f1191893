"""Images by reference: in Ray's object store once, whichever messages to whichever processes name them.

A prompt's image goes to an engine, and with its samples to several ranks, several times a step. Its bytes are copied once, into
the store; messages carry the reference, and a process that gets one reads the store's memory as it is, read-only. It stays there
until the driver drops the prompt.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable

import numpy as np
import ray

from lmm_r1_mega.cluster.columns import as_tensor
from lmm_r1_mega.schema import PromptImages

_Arrays = tuple[np.ndarray, np.ndarray]

_stored: weakref.WeakKeyDictionary[PromptImages, ray.ObjectRef] = weakref.WeakKeyDictionary()


def put_images(image_sets: Iterable[PromptImages | None]) -> None:
    """Put images into the store that are not in it yet; messages sent after this hold references to them."""
    ray.util.register_serializer(PromptImages, serializer=_reference, deserializer=_image)
    for images in image_sets:
        if images is not None and images not in _stored:
            _stored[images] = ray.put(_arrays(images))


def drop_references() -> None:
    """Let go of all references: the store that they are to is about to end."""
    _stored.clear()


def _reference(images: PromptImages) -> ray.ObjectRef | _Arrays:
    """What stands for an image in a message; one that nobody has shared goes along itself."""
    return _stored.get(images) or _arrays(images)


def _image(found: ray.ObjectRef | _Arrays) -> PromptImages:
    patches, grid_thw = ray.get(found) if isinstance(found, ray.ObjectRef) else found
    return PromptImages(as_tensor(patches), as_tensor(grid_thw))


def _arrays(images: PromptImages) -> _Arrays:
    return images.patches.numpy(), images.grid_thw.numpy()
