"""M-RoPE positions against transformers' own."""

import pytest
import torch

from lmm_r1_mega.batching.rope import mrope_positions
from lmm_r1_mega.data.chat.vision_spec import VisionSpec
from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable

IMAGE, START, END = 60, 61, 62


@pytest.fixture(scope="module")
def oracle():
    """`get_rope_index` of transformers on a model without weights."""
    make_torchvision_importable()
    from transformers import Qwen2_5_VLConfig
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel

    config = Qwen2_5_VLConfig(
        text_config=dict(
            hidden_size=32, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1, intermediate_size=8, vocab_size=64
        ),
        vision_config=dict(depth=1, hidden_size=32, num_heads=1, intermediate_size=8, out_hidden_size=32),
        image_token_id=IMAGE,
        vision_start_token_id=START,
        vision_end_token_id=END,
    )
    with torch.device("meta"):
        model = Qwen2_5_VLModel(config)

    def positions(ids: torch.Tensor, grids: torch.Tensor) -> torch.Tensor:
        return model.get_rope_index(ids[None], (ids == IMAGE).long()[None], grids)[0][:, 0]

    spec = VisionSpec.from_config(config.to_dict())
    return positions, spec


@pytest.mark.parametrize(
    "grids",
    [[], [[1, 4, 4]], [[1, 2, 8]], [[1, 8, 2], [1, 4, 6]], [[1, 2, 2], [1, 2, 2], [1, 36, 20]], [[3, 4, 6]]],
    ids=["text", "square", "wide", "two", "three", "several times"],
)
@pytest.mark.parametrize("text_length", [0, 1, 5])
def test_positions_equal_transformers(oracle, grids, text_length):
    positions, spec = oracle
    ids = [1]
    for t, h, w in grids:
        ids += [*[2] * text_length, START, *[IMAGE] * (t * h * w // 4), END]
    ids += [3] * (text_length + 1)
    token_ids, grid_thw = torch.tensor(ids), torch.tensor(grids, dtype=torch.long).reshape(-1, 3)
    assert torch.equal(mrope_positions(token_ids, grid_thw, spec), positions(token_ids, grid_thw))


def test_an_image_at_either_end(oracle):
    positions, spec = oracle
    ids, grids = torch.tensor([IMAGE] * 6 + [1] + [IMAGE] * 4), torch.tensor([[1, 4, 6], [1, 4, 4]])
    assert torch.equal(mrope_positions(ids, grids, spec), positions(ids, grids))
