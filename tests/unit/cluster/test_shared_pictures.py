"""Pictures by reference, between real processes."""

import gc
import time

import pytest
import torch

from lmm_r1_mega.cluster.pictures import ray, share  # Ray is imported after what it reads is settled
from lmm_r1_mega.cluster.session import ray_session
from lmm_r1_mega.config import ClusterSettings
from lmm_r1_mega.schema import Sequence, Vision


@pytest.fixture(scope="module")
def reader():
    with ray_session(ClusterSettings(), num_processes=1):
        yield Reader.remote()


@ray.remote(num_cpus=0.01)
class Reader:
    def look(self, rows: list[list[Sequence]]) -> tuple[list[int], int, list]:
        visions = list({id(one.vision): one.vision for row in rows for one in row}.values())
        return [int(vision.patches.sum()) for vision in visions], len(visions), [vision.grid_thw.tolist() for vision in visions]


def free_bytes() -> int:
    return int(ray.available_resources()["object_store_memory"])


def after(condition, *, within_s: float = 100) -> bool:
    end = time.monotonic() + within_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_shared_pictures_are_stored_once_arrive_whole_and_go_with_their_prompt(reader):
    noise = torch.Generator().manual_seed(0)
    visions = [Vision(torch.randint(256, (5000, 588), generator=noise, dtype=torch.uint8), torch.tensor([[1, 50, 100]])) for _ in range(2)]
    rows = [[Sequence(torch.arange(5), 3, vision) for _ in range(4)] for vision in visions]
    empty, size = free_bytes(), sum(vision.patches.nbytes for vision in visions)
    share([*visions, None, *visions])
    for _ in range(2):
        message = ray.put(rows)
        for sums, count, grids in ray.get([reader.look.remote(message), reader.look.remote(message)]):
            assert sums == [int(vision.patches.sum()) for vision in visions]
            assert (count, grids) == (2, [[[1, 50, 100]]] * 2)
    assert after(lambda: size <= empty - free_bytes() < 1.1 * size)
    del visions, rows, message
    gc.collect()
    assert after(lambda: empty - free_bytes() < 0.1 * size)


def test_a_picture_that_nobody_shared_goes_along(reader):
    vision = Vision(torch.full((4, 588), 7, dtype=torch.uint8), torch.tensor([[1, 2, 2]]))
    assert ray.get(reader.look.remote([[Sequence(torch.arange(5), 3, vision)]])) == ([4 * 588 * 7], 1, [[[1, 2, 2]]])
