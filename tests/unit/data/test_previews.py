"""Images as the model sees them, for people."""

from io import BytesIO

import numpy as np
from PIL import Image

from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.images.patches import join_images
from lmm_r1_mega.data.images.previews import MAX_SIDE, model_previews


def views(processor, *images):
    images = join_images([processor.prompt_images(image) for image in images])
    return [Image.open(BytesIO(view), formats=["PNG"]) for view in model_previews(images, merge_size=processor.spec.merge_size)]


def test_images_of_a_size_that_is_read_as_it_is_are_kept_pixel_by_pixel(processor):
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((56, 112), (84, 56))]
    found = views(processor, *(Image.fromarray(image) for image in pixels))
    assert [np.asarray(view).tolist() for view in found] == [image.tolist() for image in pixels]


def test_others_have_the_size_that_is_read(processor):
    [view] = views(processor, Image.new("RGB", (65, 93), "red"))
    assert view.size == (56, 84) and view.getpixel((5, 5)) == (255, 0, 0)


def test_a_large_one_is_shown_smaller_in_its_shape(model_folder):
    [view] = views(Processor.load(model_folder, max_pixels=28 * 28 * 100), Image.new("RGB", (MAX_SIDE + 48, 28)))
    assert view.size[0] == MAX_SIDE and view.size[1] < 28
