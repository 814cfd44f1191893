"""Expanded ids and patches of the trainer against those that vLLM computes for the same prompt, bit by bit."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lmm_r1_mega.data.chat import Turn
from lmm_r1_mega.data.packing import join_visions
from lmm_r1_mega.data.processor import Processor
from lmm_r1_mega.tiny_model import TinyShape, make_tiny_model

SIZES = [(56, 56), (131, 90), (40, 300), (29, 30)]
BOUNDS = [{}, {"min_pixels": 84 * 84, "max_pixels": 112 * 84}]


def pictures() -> list[Image.Image]:
    noise = np.random.default_rng(0)
    return [Image.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in SIZES]


def vllm_inputs(model: Path, token_ids: list[int], bounds: dict[str, int]) -> tuple[list[int], np.ndarray]:
    """What vLLM makes of unexpanded ids and images before its model runs."""
    from lmm_r1_mega.rollout.environment import prepare_process

    prepare_process()
    from vllm.config import ModelConfig
    from vllm.multimodal import MULTIMODAL_REGISTRY
    from vllm.multimodal.processing import ProcessorInputs
    from vllm.multimodal.processing.context import TimingContext

    from lmm_r1_mega.rollout.plugin import register

    register()
    size = {"shortest_edge": bounds["min_pixels"], "longest_edge": bounds["max_pixels"]}
    config = ModelConfig(str(model), dtype="float32", mm_device_do_normalize=False, mm_processor_kwargs={"size": size})
    processor = MULTIMODAL_REGISTRY.create_processor(config)
    items = processor.info.parse_mm_data({"image": pictures()})
    result = processor.apply(
        ProcessorInputs(prompt=token_ids, mm_data_items=items, hf_processor_mm_kwargs={}), TimingContext(enabled=False)
    )
    patches = [item["pixel_values"].data.numpy() for item in result["mm_kwargs"]["image"]]
    return list(result["prompt_token_ids"]), np.concatenate(patches)


def test_vllm_sees_what_the_trainer_sees(tmp_path):
    make_tiny_model(tmp_path, TinyShape(hidden=64, layers=1, vision_depth=1))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as child:
        for bounds in BOUNDS:
            processor = Processor.load(tmp_path, **bounds)
            [token_ids] = processor.encode([processor.render([Turn("user", (None, "or", None, None, None, "?"))])[0]])
            expanded, patches = child.submit(vllm_inputs, tmp_path, token_ids, processor.image_settings).result(timeout=100)
            counts = [processor.num_image_tokens(*size) for size in SIZES]
            assert tuple(expanded) == processor.expand(token_ids, counts)
            vision = join_visions([processor.vision(picture) for picture in pictures()])
            assert torch.equal(vision.pixel_values, torch.from_numpy(patches))
