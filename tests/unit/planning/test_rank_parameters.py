"""Parameter counts against published totals and numbers worked out on paper."""

import pytest
from paper_model import LAYER_MATRICES, LAYER_NORMS, LAYER_SPLIT, VISION_PARAMETERS, small_shape

from lmm_r1_mega.config import LayoutSettings, ModelSettings
from lmm_r1_mega.planning.parameters import (
    RankParameters,
    critic_ranks,
    num_parameters,
    num_vision_parameters,
    policy_ranks,
)

PADDED_BY_2 = ModelSettings(vocab_padding_multiple=3)  # 10 words are 12 at tensor 1 and 2


@pytest.mark.parametrize(
    ("size", "total"), [("3B", 3_754_622_976), ("7B", 8_292_166_656), ("32B", 33_452_718_336), ("72B", 73_410_777_344)]
)
def test_totals_are_the_published_ones(published, size, total):
    assert num_parameters(published(size)) == total


def test_one_rank_holds_everything():
    layers = 2 * (LAYER_SPLIT + LAYER_NORMS)
    expected = RankParameters(VISION_PARAMETERS + layers + 2 * 12 * 8 + 8, 0, 2 * LAYER_MATRICES)
    assert policy_ranks(small_shape(), model=PADDED_BY_2, layout=LayoutSettings()) == (expected,)
    assert num_vision_parameters(small_shape()) == VISION_PARAMETERS


def test_stages_and_tensor_ranks_share_what_can_be_split():
    first, last = policy_ranks(small_shape(), model=PADDED_BY_2, layout=LayoutSettings(tensor=2, pipeline=2))
    assert first.total == VISION_PARAMETERS + 12 * 8 // 2 + LAYER_SPLIT // 2 + LAYER_NORMS
    assert last.total == LAYER_SPLIT // 2 + LAYER_NORMS + 8 + 12 * 8 // 2


def test_a_tied_embedding_has_a_copy_on_a_last_stage_of_its_own():
    tied = small_shape(tied=True)
    assert [one.total for one in policy_ranks(tied, model=PADDED_BY_2, layout=LayoutSettings())] == [
        VISION_PARAMETERS + 2 * (LAYER_SPLIT + LAYER_NORMS) + 12 * 8 + 8
    ]
    _, last = policy_ranks(tied, model=PADDED_BY_2, layout=LayoutSettings(pipeline=2))
    assert last.total == LAYER_SPLIT + LAYER_NORMS + 8 + 12 * 8


@pytest.mark.parametrize("tied", [True, False])
def test_a_critic_has_a_value_head_for_its_output_layer(tied):
    first, last = critic_ranks(small_shape(tied=tied), model=PADDED_BY_2, layout=LayoutSettings(pipeline=2))
    assert first.total == VISION_PARAMETERS + 12 * 8 + LAYER_SPLIT + LAYER_NORMS
    assert last.total == LAYER_SPLIT + LAYER_NORMS + 8 + 8


@pytest.mark.parametrize("pattern", ["visual.*", "model.visual.*"])
def test_frozen_parameters_are_counted_apart_under_both_names(pattern):
    model = PADDED_BY_2.model_copy(update={"freeze": (pattern,)})
    [rank] = policy_ranks(small_shape(), model=model, layout=LayoutSettings())
    assert rank.frozen == VISION_PARAMETERS
