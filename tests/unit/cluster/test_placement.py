"""What is said about machines, and what is refused before anything is loaded."""

import pytest

from lmm_r1_mega.cluster.placement import Placement, Slot, check_colocation, describe


def placement(trainers: str, engines: str, *, has_gpus: bool = False) -> Placement:
    """Slots on machines that are named by letters."""
    slots = [tuple(Slot(i, machine, ()) for i, machine in enumerate(row)) for row in (trainers, engines)]
    return Placement(None, *slots, has_gpus)


def test_who_runs_where_and_which_machine_is_idle():
    assert describe(placement("aab", "a"), ["a", "b", "c"]) == [
        "a: trainer ranks 0 1, rollout engine 0",
        "b: trainer rank 2",
        "c: no process of this run: the machine is idle, ask for fewer, or raise layout.data or rollout.engines",
    ]


def test_one_machine_is_not_worth_a_line():
    assert describe(placement("aa", "a"), ["a"]) == []


def test_engines_without_gpus_stay_with_the_first_rank():
    check_colocation(placement("ab", "a"))
    check_colocation(placement("", "b"))
    check_colocation(placement("a", "b", has_gpus=True))
    with pytest.raises(ValueError, match=r"rollout engine 1 would run on b and trainer rank 0 on a: .*set cluster.placement=hybrid"):
        check_colocation(placement("a", "ab"))
