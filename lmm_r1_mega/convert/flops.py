"""Floating-point operations of a model, the measure of work by which rows are balanced and utilization is reported."""

from __future__ import annotations

from lmm_r1_mega.families.shape import ModelShape, VisionShape


def sequence_flops(shape: ModelShape, *, tokens: int, patches: int = 0) -> float:
    """Forward operations of one sequence: matrix products and causal attention of the decoder, and the vision tower.

    A matrix product counts 2 operations a weight and token; backward costs twice as much again.
    """
    q_width, kv_width = shape.head_dim * shape.num_heads, shape.head_dim * shape.num_kv_heads
    attention = shape.hidden_size * (2 * q_width + 2 * kv_width)
    feed_forward = 3 * shape.hidden_size * shape.ffn_size
    weights = shape.num_layers * (attention + feed_forward) + shape.hidden_size * shape.vocab_size
    scores = 2 * shape.num_layers * q_width * tokens**2  # half of the square, for q.k and for the mixing of v
    return 2.0 * weights * tokens + scores + (_tower_flops(shape.vision, patches) if shape.vision else 0.0)


def _tower_flops(vision: VisionShape, patches: int) -> float:
    per_block = 4 * vision.hidden_size**2 + (3 if vision.is_gated else 2) * vision.hidden_size * vision.ffn_size
    merged = vision.hidden_size * vision.merge_size**2
    merger = (merged**2 + merged * vision.out_hidden_size) / vision.merge_size**2
    window = (vision.window_size // vision.patch_size) ** 2
    full = len(vision.full_attention_blocks)
    scores = 4.0 * vision.hidden_size * patches * (full * patches + (vision.depth - full) * min(window, patches))
    return 2.0 * patches * (vision.depth * per_block + vision.patch_features * vision.hidden_size + merger) + scores
