"""Dynamic sampling by hand: which groups are trained, whole, in which order, and what is said where none is left."""

import pytest
import torch

from lmm_r1_mega.config.reading import parse_tree
from lmm_r1_mega.driver.dynamic_sampling import (
    check_selection,
    flatten,
    in_groups,
    num_missing,
    num_prompts_to_request,
    select,
    selection_metrics,
)
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.schema import Completion, Prompt, Sample, Score, Scored


def settings(**algorithm):
    tree = {"prompts_per_step": 2, "samples_per_prompt": 3, "dynamic_sampling": {"enabled": True}, **algorithm}
    return parse_tree({"algorithm": tree}, source="test").algorithm


def group(name, *rewards):
    """A reward of None is a sample unscored."""
    prompt, completion = Prompt(name, "s", "q", (1,), (1,), None, "3"), Completion((1,), torch.tensor([5]), torch.zeros(1), "", "stop", 0)
    return [Scored(Sample(prompt, completion), Score(reward, {}, "timeout" if reward is None else None)) for reward in rewards]


ROUND = [
    group("right", 1.0, 1.0, 1.0),
    group("mixed", 1.0, 0.0, 1.0),
    group("wrong", 0.0, 0.0, 0.0),
    group("one verdict", None, None, 1.0),
    group("late", None, 0.5, 1.0),
    group("third", 0.0, 0.5, 1.0),
]


def names(groups):
    return [one[0].sample.prompt.id for one in groups]


def test_the_first_groups_with_differing_rewards_are_trained_whole():
    found = select(ROUND, settings())
    assert names(found.trained) == ["mixed", "late"]
    assert names(found.flat) == ["right", "wrong", "one verdict"]
    assert names(found.left_over) == ["third"]
    assert found.trained[1] == ROUND[4], "with its sample that has no verdict"
    assert sorted(map(id, flatten(found.trained + found.flat + found.left_over))) == sorted(map(id, flatten(ROUND)))


def test_missing_groups_by_hand():
    assert num_missing(ROUND, settings()) == 0
    assert num_missing(ROUND, settings(prompts_per_step=5)) == 2
    assert num_missing(ROUND[:1], settings()) == 2


def test_rewards_that_clipping_makes_equal_do_not_differ():
    found = select([group("a", 2.0, 3.0, 9.0), group("b", 0.5, 3.0, 9.0)], settings(reward_clip=(-1.0, 1.0)))
    assert (names(found.trained), names(found.flat)) == (["b"], ["a"])


def test_without_dynamic_sampling_every_group_is_trained():
    everything = settings(prompts_per_step=6, dynamic_sampling={"enabled": False, "oversampling": 2.0})
    assert select(ROUND, everything).trained == ROUND
    assert num_missing(ROUND, everything) == 0
    assert num_prompts_to_request(6, everything.dynamic_sampling) == 6


@pytest.mark.parametrize(("missing", "oversampling", "asked"), [(4, 1.0, 4), (10, 1.1, 11), (10, 1.25, 13), (1, 1.5, 2), (3, 2.0, 6)])
def test_prompts_asked_by_hand(missing, oversampling, asked):
    assert (
        num_prompts_to_request(missing, settings(dynamic_sampling={"enabled": True, "oversampling": oversampling}).dynamic_sampling)
        == asked
    )


def test_groups_and_flatten_are_inverse():
    assert in_groups(flatten(ROUND), 3) == ROUND


def test_metrics_by_hand():
    assert selection_metrics(select(ROUND, settings()), refills=2) == {
        "dynamic_sampling/flat_share": 3 / 6,
        "dynamic_sampling/dropped_share": pytest.approx(4 / 6),
        "dynamic_sampling/refills": 2.0,
        "dynamic_sampling/generated_per_trained": 18 / 6,
        "dynamic_sampling/reward": pytest.approx(9.0 / 15),
    }


def test_nothing_to_train_is_an_error_with_a_way_out():
    with pytest.raises(
        BadData,
        match=r"step 5: 0 of 3 groups have rewards that differ \(2 of 9 samples have no verdict, their mean reward is 0.571\), "
        r"after 10 refills: .* raise algorithm.samples_per_prompt",
    ):
        check_selection(select([ROUND[0], ROUND[2], ROUND[3]], settings()), settings(), step=4)


def test_fewer_groups_than_wanted_are_trained_while_every_optimizer_step_has_a_sample():
    found = select(ROUND[:2], settings(optimizer_steps=3))
    check_selection(found, settings(optimizer_steps=3), step=0)
    with pytest.raises(BadData, match="1 of 2 groups"):
        check_selection(found, settings(optimizer_steps=4), step=0)


def test_groups_of_one_cannot_differ():
    with pytest.raises(ValueError, match=r"at least 2 samples, got 1: raise algorithm.samples_per_prompt"):
        settings(name="reinforce", samples_per_prompt=1)
