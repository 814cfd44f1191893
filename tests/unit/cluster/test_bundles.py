"""How many places a run reserves."""

import pytest

from lmm_r1_mega.cluster.placement import num_bundles
from lmm_r1_mega.config.reading import parse_tree


def config(placement, engines, tensor=1):
    return parse_tree({"rollout": {"engines": engines, "tensor": tensor}, "cluster": {"placement": placement}}, source="test")


def test_hybrid_engines_share_the_trainers_places_and_others_add_theirs():
    assert num_bundles(config("hybrid", 2, 2), num_trainers=4) == 4
    assert num_bundles(config("disaggregated", 2, 2), num_trainers=4) == 8
    assert num_bundles(config("hybrid", 3), num_trainers=0) == 3, "evaluation has engines alone"
    assert num_bundles(config("disaggregated", 3), num_trainers=2, engines=False) == 2


def test_hybrid_engines_do_not_outnumber_the_trainer():
    with pytest.raises(ValueError, match=r"rollout.engines 3 x rollout.tensor 2 need 6 GPUs.*trainer's 4"):
        num_bundles(config("hybrid", 3, 2), num_trainers=4)
