"""Images by reference, between real processes."""

import gc
import time

import pytest
import torch

from lmm_r1_mega.cluster.images import put_images, ray  # Ray is imported after what it reads is settled
from lmm_r1_mega.cluster.session import ray_session
from lmm_r1_mega.config import ClusterSettings
from lmm_r1_mega.schema import PromptImages, Sequence


@pytest.fixture(scope="module")
def reader():
    with ray_session(ClusterSettings(), num_processes=1):
        yield Reader.remote()


@ray.remote(num_cpus=0.01)
class Reader:
    def look(self, rows: list[list[Sequence]]) -> tuple[list[int], int, list]:
        image_sets = list({id(one.images): one.images for row in rows for one in row}.values())
        return [int(images.patches.sum()) for images in image_sets], len(image_sets), [images.grid_thw.tolist() for images in image_sets]


def free_bytes() -> int:
    return int(ray.available_resources()["object_store_memory"])


def after(condition, *, within_s: float = 100) -> bool:
    end = time.monotonic() + within_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_shared_images_are_stored_once_arrive_whole_and_go_with_their_prompt(reader):
    noise = torch.Generator().manual_seed(0)
    image_sets = [
        PromptImages(torch.randint(256, (5000, 588), generator=noise, dtype=torch.uint8), torch.tensor([[1, 50, 100]])) for _ in range(2)
    ]
    rows = [[Sequence(torch.arange(5), 3, images) for _ in range(4)] for images in image_sets]
    empty, size = free_bytes(), sum(images.patches.nbytes for images in image_sets)
    put_images([*image_sets, None, *image_sets])
    for _ in range(2):
        message = ray.put(rows)
        for sums, count, grids in ray.get([reader.look.remote(message), reader.look.remote(message)]):
            assert sums == [int(images.patches.sum()) for images in image_sets]
            assert (count, grids) == (2, [[[1, 50, 100]]] * 2)
    assert after(lambda: size <= empty - free_bytes() < 1.1 * size)
    del image_sets, rows, message
    gc.collect()
    assert after(lambda: empty - free_bytes() < 0.1 * size)


def test_an_image_that_nobody_shared_goes_along(reader):
    images = PromptImages(torch.full((4, 588), 7, dtype=torch.uint8), torch.tensor([[1, 2, 2]]))
    assert ray.get(reader.look.remote([[Sequence(torch.arange(5), 3, images)]])) == ([4 * 588 * 7], 1, [[[1, 2, 2]]])
