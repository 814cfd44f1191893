"""Random seeds of requests and the settings of one call."""

import pytest

from lmm_r1_mega.config import RolloutSettings
from lmm_r1_mega.rollout.sampling import Sampling, request_seed


def test_seeds_of_a_prompt_differ_by_run_seed_and_prompt_and_by_nothing_else():
    seeds = {(seed, prompt): request_seed(seed, prompt) for seed in (0, 1, 11) for prompt in ("a:1", "a:11", "b:1")}
    assert len(set(seeds.values())) == len(seeds)
    assert seeds == {key: request_seed(*key) for key in seeds}


def test_seeds_leave_room_for_the_sample_index_in_63_bits():
    assert all(0 <= request_seed(0, f"p:{i}") < 2**62 for i in range(1000))


def test_settings_of_training_become_a_sampling():
    settings = RolloutSettings(max_response_tokens=7, temperature=0.5, top_p=0.9, top_k=3, stop=("x",))
    assert Sampling.of(settings) == Sampling(7, temperature=0.5, top_p=0.9, top_k=3, stop=("x",))


@pytest.mark.parametrize(("values", "field"), [({"max_response_tokens": 0}, "max_response_tokens"), ({"temperature": -1.0}, "temperature")])
def test_impossible_values_are_refused_by_name(values, field):
    with pytest.raises(ValueError, match=field):
        Sampling(**{"max_response_tokens": 1, **values})
