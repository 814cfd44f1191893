import json

import pytest
import torch

from lmm_r1_mega.batching.rope import mrope_positions
from lmm_r1_mega.data.chat.vision_spec import VisionSpec

SPEC = VisionSpec(image_token_id=90, video_token_id=93, vision_start_token_id=91, vision_end_token_id=92, merge_size=2)
TOKENS = {"image_token_id": 90, "video_token_id": 93, "vision_start_token_id": 91, "vision_end_token_id": 92}


@pytest.mark.parametrize(
    "config",
    [
        TOKENS | {"hidden_size": 64, "vision_token_id": 94, "vision_config": {"spatial_merge_size": 2, "spatial_patch_size": 14}},
        TOKENS | {"text_config": {"hidden_size": 64, "image_token_id": None}, "vision_config": {"spatial_merge_size": 2}},
        {"text_config": TOKENS, "vision_config": {"spatial_merge_size": 2}},
    ],
    ids=["transformers 4", "transformers 5", "tokens in text_config"],
)
def test_spec_is_read_from_every_layout(config, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert VisionSpec.load(tmp_path) == SPEC


def test_a_folder_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no config.json: give a Hugging Face folder"):
        VisionSpec.load(tmp_path)
    with pytest.raises(ValueError, match=r"model_type 'llama'\) has no vision_config"):
        VisionSpec.from_config({"model_type": "llama"})
    with pytest.raises(ValueError, match="lacks image_token_id, video_token_id"):
        VisionSpec.from_config({"vision_config": {"spatial_merge_size": 2}, "vision_start_token_id": 1, "vision_end_token_id": 2})


def test_the_documented_example():
    positions = mrope_positions(torch.tensor([7, 90, 90, 90, 90, 8]), torch.tensor([[1, 4, 4]]), SPEC)
    assert positions.tolist() == [[0, 1, 1, 1, 1, 3], [0, 1, 1, 2, 2, 3], [0, 1, 2, 1, 2, 3]]


def test_text_goes_on_behind_the_longer_side_of_an_image():
    wide = mrope_positions(torch.tensor([7, *[90] * 8, 8]), torch.tensor([[1, 4, 8]]), SPEC)
    assert wide.tolist() == [[0, *[1] * 8, 5], [0, 1, 1, 1, 1, 2, 2, 2, 2, 5], [0, 1, 2, 3, 4, 1, 2, 3, 4, 5]]
    tall = mrope_positions(torch.tensor([90] * 3 + [8]), torch.tensor([[1, 6, 2]]), SPEC)
    assert tall.tolist() == [[0, 0, 0, 3], [0, 1, 2, 3], [0, 0, 0, 3]]


def test_text_counts_up():
    assert mrope_positions(torch.tensor([7, 8, 9]), None, SPEC).tolist() == [[0, 1, 2]] * 3


def test_tokens_of_an_image():
    assert SPEC.num_tokens(torch.tensor([[1, 4, 6], [2, 2, 2]])) == [6, 2]


@pytest.mark.parametrize(
    ("ids", "grids", "message"),
    [
        ([7, 90, 90], [[1, 4, 4]], "2 image tokens for grids"),
        ([7, 90], [], "1 image tokens for grids"),
        ([90, 7, 90, 90, 90], [[1, 4, 4]], "not neighbors"),
    ],
)
def test_tokens_and_grids_that_disagree_are_refused(ids, grids, message):
    with pytest.raises(ValueError, match=message):
        mrope_positions(torch.tensor(ids), torch.tensor(grids, dtype=torch.long).reshape(-1, 3), SPEC)
