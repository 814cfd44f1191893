"""What the engines are told of a prompt."""

from lmm_r1_mega.cluster.engines import own_ids
from lmm_r1_mega.rollout.sampling import request_seed


def test_a_prompt_that_is_asked_twice_in_a_step_gets_random_numbers_of_its_own():
    found = own_ids(["a", "b", "a", "a", "b"])
    assert found == ["a", "b", "a#2", "a#3", "b#2"]
    assert len({request_seed(7, name) for name in found}) == 5


def test_prompts_that_are_asked_once_keep_their_ids():
    assert own_ids(["b", "a"]) == ["b", "a"]
