"""A model so small that its memory is worked out on paper."""

from lmm_r1_mega.families.shape import ModelShape, VisionShape

VISION = VisionShape(
    depth=1,
    hidden_size=4,
    ffn_size=6,
    num_heads=1,
    out_hidden_size=8,
    in_channels=3,
    patch_size=2,
    temporal_patch_size=1,
    merge_size=2,
    window_size=4,
    full_attention_blocks=(0,),
)


def small_shape(**changes) -> ModelShape:
    """Hidden 8, 4 heads of 2, 2 key-value heads, feed-forward 12, 2 layers, 10 words."""
    fields = {"hidden_size": 8, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2, "ffn_size": 12, "vocab_size": 10, "max_positions": 64}
    fields |= {"norm_eps": 1e-6, "rope_theta": 1e6, "mrope_section": (1, 0, 0), "tied": False, "image_token_id": 9, "vision": VISION}
    fields |= {"family": "qwen2_5_vl", "head_dim": 2, "has_qkv_bias": True}
    return ModelShape(**fields | changes)


# query and result 8 x 8, key and value 4 x 8 each, biases 8 + 4 + 4, gate, up and down 12 x 8 each
LAYER_SPLIT = 64 + 64 + 32 + 32 + 16 + 3 * 96
LAYER_MATRICES = 64 + 64 + 32 + 32 + 3 * 96
LAYER_NORMS = 16
# patches 4 x 12; norms 2 x 4; qkv 12 x 4 + 12; proj 4 x 4 + 4; gate and up 6 x 4 + 6 each; down 4 x 6 + 4;
# merger 4, 16 x 16 + 16, 8 x 16 + 8
VISION_PARAMETERS = 48 + 8 + 60 + 20 + 2 * 30 + 28 + 4 + 272 + 136
