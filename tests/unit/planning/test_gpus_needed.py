"""How many places a run reserves."""

from lmm_r1_mega.config.reading import parse_tree
from lmm_r1_mega.planning.checks import gpus_needed


def config(placement, engines, tensor=1):
    return parse_tree({"rollout": {"engines": engines, "tensor": tensor}, "cluster": {"placement": placement}}, source="test")


def test_hybrid_engines_share_the_trainers_places_and_others_add_theirs():
    assert gpus_needed(config("hybrid", 2, 2), num_trainers=4) == 4
    assert gpus_needed(config("disaggregated", 2, 2), num_trainers=4) == 8
    assert gpus_needed(config("hybrid", 3), num_trainers=0) == 3, "evaluation has engines alone"
    assert gpus_needed(config("disaggregated", 3), num_trainers=2, engines=False) == 2
