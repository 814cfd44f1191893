"""Dimensions from config.json, in the layouts of transformers 4 and 5."""

from __future__ import annotations

import pytest

from lmm_r1_mega.families.registry import parse_shape, read_shape

PUBLISHED_3B = {
    "model_type": "qwen2_5_vl",
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "max_position_embeddings": 128000,
    "num_attention_heads": 16,
    "num_hidden_layers": 36,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "tie_word_embeddings": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
    "image_token_id": 151655,
    "vision_config": {
        "depth": 32,
        "hidden_size": 1280,
        "in_chans": 3,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 2048,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
}
TEXT_KEYS = ("image_token_id", "vision_config", "model_type", "tie_word_embeddings")


def nested() -> dict:
    """The same model as transformers 5 writes it."""
    text = {key: value for key, value in PUBLISHED_3B.items() if key not in TEXT_KEYS}
    theta, scaling = text.pop("rope_theta"), text.pop("rope_scaling")
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": theta, "mrope_section": scaling["mrope_section"]}
    return {key: PUBLISHED_3B[key] for key in TEXT_KEYS} | {"text_config": text}


def test_both_layouts_say_the_same():
    shape = parse_shape(PUBLISHED_3B)
    assert shape == parse_shape(nested())
    assert (shape.head_dim, shape.tied, shape.vision.patch_features) == (128, True, 1176)


def test_the_vocabulary_is_padded_to_a_multiple_for_each_rank():
    assert parse_shape(PUBLISHED_3B).padded_vocab(multiple=128, tensor=2) == 152064


def test_a_flag_for_tied_weights_deeper_down_counts():
    config = nested() | {"tie_word_embeddings": False}
    assert not parse_shape(config).tied
    config["text_config"]["tie_word_embeddings"] = True
    assert parse_shape(config).tied


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "llama"}, "model_type 'llama' is not supported"),
        ({"num_key_value_heads": None, "rope_scaling": {"mrope_section": [16, 24, 20]}}, "covers 120 of 128"),
        ({"use_sliding_window": True}, "use_sliding_window"),
    ],
)
def test_what_is_not_supported_is_said(change, message):
    with pytest.raises(ValueError, match=message):
        parse_shape(PUBLISHED_3B | change)


def test_a_missing_key_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(ValueError, match="lacks 'vocab_size'"):
        parse_shape({key: value for key, value in PUBLISHED_3B.items() if key != "vocab_size"})
    with pytest.raises(ValueError, match=r"has no config.json"):
        read_shape(tmp_path)
