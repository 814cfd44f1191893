"""Expanded ids and patches of the trainer against those that vLLM computes for the same prompt, bit by bit."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lmm_r1_mega.data.chat.messages import Turn
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.images.patches import as_pil_images, join_images
from tools.make_tiny_model import TinyShape, make_tiny_model

SIZES = [(56, 56), (131, 90), (40, 300), (29, 30)]
BOUNDS = [{}, {"min_pixels": 84 * 84, "max_pixels": 112 * 84}, {"min_pixels": 90 * 90, "max_pixels": 90 * 90}]


def drawings() -> list[Image.Image]:
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

    from lmm_r1_mega.rollout.engine import image_arguments
    from lmm_r1_mega.rollout.plugin import register

    register()
    data_side = Processor.load(model, **bounds)
    vision = join_images([data_side.prompt_images(drawing) for drawing in drawings()])
    config = ModelConfig(str(model), dtype="float32", mm_device_do_normalize=False, mm_processor_kwargs=image_arguments(data_side))
    processor = MULTIMODAL_REGISTRY.create_processor(config)
    items = processor.info.parse_mm_data({"image": as_pil_images(vision, merge_size=data_side.spec.merge_size)})
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
            vision = join_images([processor.prompt_images(drawing) for drawing in drawings()])
            assert torch.equal(processor.pixel_scale.pixel_values(vision.patches), torch.from_numpy(patches))
