"""The table of a worker's life: every phase with every event, by hand."""

import math
from dataclasses import replace

import pytest

from lmm_r1_mega.rewards.messages import PartialReward, RewardInput
from lmm_r1_mega.rewards.workers.lifecycle import MAX_LOST, START_LIMIT_S, Effects, Fault, Gone, Worker, transition
from lmm_r1_mega.rewards.workers.messages import MAX_SLOWDOWN, TIMEOUT, FunctionResult, Job, Ready, Started

NOW = 1000.0
ITEMS = tuple((index, RewardInput(text, "3")) for index, text in ((7, "a"), (8, "b"), (9, "c")))
RULES = Job("rules", ITEMS, timeout_s=2.0, number=5)
CALL = Job("function", ITEMS, timeout_s=2.0, number=5)
STARTING, IDLE, KILLED = Worker("starting", 1100.0), Worker("idle"), Worker("killed", 1100.0)
REWARD = PartialReward({"accuracy": 1.0})
KILLED_NOW = Worker("killed", NOW + START_LIMIT_S)
STARTING_NOW = Worker("starting", NOW + START_LIMIT_S)


def assigned(job: Job) -> Worker:
    return Worker("assigned", NOW + 1.0, job)


def scoring(job: Job) -> Worker:
    return Worker("scoring", NOW + 1.0, job)


def items_of(job: Job, *numbers: int) -> Job:
    return replace(job, items=tuple(ITEMS[number] for number in numbers))


def lost(job: Job) -> Job:
    return replace(job, num_lost=job.num_lost + 1)


def first_invalid(job: Job, reason: str) -> dict:
    return {(job.kind, 7): PartialReward({}, reason)}


ONE_BY_ONE = tuple(items_of(CALL, number) for number in range(3))
CASES = {
    "it is ready": (STARTING, Ready(), IDLE, Effects()),
    "it gets a job of rules": (IDLE, RULES, Worker("assigned", NOW + 2.0 * MAX_SLOWDOWN, RULES), Effects(send=RULES)),
    "it gets a call, which has its time for all": (IDLE, CALL, Worker("assigned", NOW + 2.0 * 3, CALL), Effects(send=CALL)),
    "it has read the job": (assigned(RULES), Started(5), scoring(RULES), Effects()),
    "it says so again, and its deadline stays": (scoring(RULES), Started(5), scoring(RULES), Effects()),
    "it answers for the first response": (
        scoring(RULES),
        REWARD,
        Worker("scoring", NOW + 2.0 * MAX_SLOWDOWN, items_of(RULES, 1, 2)),
        Effects(rewards={("rules", 7): REWARD}),
    ),
    "it answers for the last response": (scoring(items_of(RULES, 2)), REWARD, IDLE, Effects(rewards={("rules", 9): REWARD})),
    "its call gives all rewards": (
        scoring(CALL),
        FunctionResult([REWARD, PartialReward({}, "x"), REWARD]),
        IDLE,
        Effects(rewards={("function", 7): REWARD, ("function", 8): PartialReward({}, "x"), ("function", 9): REWARD}),
    ),
    "its call raises": (scoring(CALL), FunctionResult([], "function: raised E", "T"), IDLE, Effects(requeue=ONE_BY_ONE, trace="T")),
    "its call for a single response raises": (
        scoring(items_of(CALL, 0)),
        FunctionResult([], "function: raised E", "T"),
        IDLE,
        Effects(rewards=first_invalid(CALL, "function: raised E"), trace="T"),
    ),
    "its call gives too few": (scoring(CALL), FunctionResult([REWARD]), KILLED_NOW, Effects(kill=True, requeue=ONE_BY_ONE)),
    "its call for a single response gives too few": (
        scoring(items_of(CALL, 0)),
        FunctionResult([]),
        KILLED_NOW,
        Effects(kill=True, rewards=first_invalid(CALL, "function: answer of a wrong length")),
    ),
    "it is late with a rule": (
        scoring(RULES),
        Fault(TIMEOUT),
        KILLED_NOW,
        Effects(kill=True, rewards=first_invalid(RULES, "timeout"), requeue=(items_of(RULES, 1, 2),)),
    ),
    "it is late with a job that it has not read": (
        assigned(items_of(RULES, 0)),
        Fault(TIMEOUT),
        KILLED_NOW,
        Effects(kill=True, rewards=first_invalid(RULES, "timeout")),
    ),
    "it is late with a call": (scoring(CALL), Fault(TIMEOUT), KILLED_NOW, Effects(kill=True, requeue=ONE_BY_ONE)),
    "it sent junk before it was asked": (STARTING, Fault("junk"), KILLED_NOW, Effects(kill=True)),
    "it sent junk when nobody asked": (IDLE, Fault("junk"), KILLED_NOW, Effects(kill=True)),
    "it sent junk before it read the job": (assigned(CALL), Fault("junk"), KILLED_NOW, Effects(kill=True, requeue=(lost(CALL),))),
    "it sends junk instead of an answer": (
        scoring(items_of(RULES, 0)),
        Fault("junk"),
        KILLED_NOW,
        Effects(kill=True, rewards=first_invalid(RULES, "junk")),
    ),
    "it ends before it is ready": (STARTING, Gone(), replace(STARTING_NOW, num_failed_starts=1), Effects()),
    "it ends without work": (IDLE, Gone("memory limit"), STARTING_NOW, Effects()),
    "it ends before it read the job": (assigned(RULES), Gone(), STARTING_NOW, Effects(requeue=(lost(RULES),))),
    "it ends once too often before it read the job": (
        assigned(replace(RULES, num_lost=MAX_LOST)),
        Gone(),
        STARTING_NOW,
        Effects(rewards=first_invalid(RULES, "worker died"), requeue=(replace(items_of(RULES, 1, 2), num_lost=MAX_LOST),)),
    ),
    "it ends with a rule": (
        scoring(RULES),
        Gone("memory limit"),
        STARTING_NOW,
        Effects(rewards=first_invalid(RULES, "memory limit"), requeue=(items_of(RULES, 1, 2),)),
    ),
    "it ends with a call": (scoring(CALL), Gone(), STARTING_NOW, Effects(requeue=ONE_BY_ONE)),
    "it ends with a call for a single response": (
        scoring(items_of(CALL, 0)),
        Gone(),
        STARTING_NOW,
        Effects(rewards=first_invalid(CALL, "function: worker died")),
    ),
    "it was killed and has ended": (KILLED, Gone("timeout"), STARTING_NOW, Effects()),
}


@pytest.mark.parametrize("name", CASES)
def test_what_becomes_of_it(name):
    worker, event, after, effects = CASES[name]
    assert transition(worker, event, NOW) == (after, effects)


UNASKED = [
    (STARTING, Started(5)),
    (STARTING, REWARD),
    (IDLE, Ready()),
    (IDLE, Started(5)),
    (IDLE, REWARD),
    (IDLE, FunctionResult([REWARD])),
    (assigned(RULES), Ready()),
    (assigned(RULES), Started(4)),
    (assigned(RULES), REWARD),
    (assigned(CALL), FunctionResult([REWARD] * 3)),
    (scoring(RULES), Ready()),
    (scoring(RULES), Started(6)),
    (scoring(RULES), FunctionResult([REWARD] * 3)),
    (scoring(CALL), REWARD),
]


@pytest.mark.parametrize(("worker", "event"), UNASKED)
def test_an_answer_to_nothing_is_junk(worker, event):
    assert transition(worker, event, NOW) == transition(worker, Fault("answer to nothing"), NOW)
    assert transition(worker, event, NOW)[0] == KILLED_NOW


@pytest.mark.parametrize("worker", [STARTING, KILLED])
def test_one_that_does_not_get_ready_ends_the_run(worker):
    with pytest.raises(RuntimeError, match="not ready after 120 s"):
        transition(worker, Fault(TIMEOUT), NOW)


def test_starts_that_fail_again_and_again_end_the_run():
    worker = STARTING
    for _ in range(MAX_LOST - 1):
        worker, _ = transition(worker, Gone(), NOW)
    with pytest.raises(RuntimeError, match="end before they are ready"):
        transition(worker, Gone(), NOW)
    assert transition(transition(worker, Ready(), NOW)[0], Gone(), NOW)[0].num_failed_starts == 0


def test_a_reward_file_that_cannot_be_used_is_the_users_to_see():
    with pytest.raises(ValueError, match="has no function reward_func"):
        transition(STARTING, Ready("mine.py has no function reward_func"), NOW)


def test_an_idle_worker_is_never_late():
    assert IDLE.deadline == math.inf
