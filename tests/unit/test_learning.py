"""Between the rewards and the optimizer: weights, targets and mini-batches by hand."""

import pickle
from dataclasses import replace

import pytest
import torch

from lmm_r1_mega.algorithms.controllers import Controllers, FixedCoefficient, ReturnScale, make_controllers
from lmm_r1_mega.algorithms.trajectories import Advantages
from lmm_r1_mega.cluster.messages import MicrobatchSequences, target_columns
from lmm_r1_mega.cluster.trainers import MiniBatch
from lmm_r1_mega.config.reading import parse_tree
from lmm_r1_mega.driver.learning import (
    Annotated,
    Updates,
    adapt,
    annotate,
    as_sequences,
    check_finite,
    estimate,
    explaining_divergence,
    loss_weights,
    mini_batches,
    mismatch_metrics,
    old_logprobs_from_update,
    policy_loss,
    policy_targets,
    update,
    value_targets,
)
from lmm_r1_mega.errors import NotFinite
from lmm_r1_mega.schema import Completion, PolicyUpdate, Prompt, Sample, Score, Scored, UpdateReport

PROMPT = Prompt("p:0", "p", "text", (1, 2), (1, 2), None, "3")


def scored(length, reward, *, invalid=None, finish="stop"):
    completion = Completion((1, 2), torch.arange(10, 10 + length), torch.full((length,), -2.0), "", finish, 0)
    return Scored(Sample(PROMPT, completion), Score(None if invalid else reward, {}, invalid))


def as_batches(samples):
    return [MiniBatch(as_sequences(one.sample for one in samples))]


def annotated(samples):
    old = [torch.full((len(one.sample.completion.response_ids),), -1.0) for one in samples]
    return Annotated(samples, as_batches(samples), old, None, None)


def config(**algorithm):
    return parse_tree({"algorithm": {"samples_per_prompt": 2, "prompts_per_step": 2, **algorithm}}, source="test")


def fixed(*, kl=0.0):
    return Controllers(FixedCoefficient(kl), FixedCoefficient(0.0), ReturnScale(moving=False))


def test_a_sequence_is_the_engines_tokens():
    [sequence, other] = as_sequences([scored(3, 1.0).sample, scored(1, 1.0).sample])
    assert sequence.token_ids.tolist() == [1, 2, 10, 11, 12]
    assert (sequence.prompt_length, sequence.response_length) == (2, 3)
    assert other.token_ids.tolist() == [1, 2, 10]


def test_weights_sum_to_one_in_each_optimizer_step_and_invalid_samples_have_none():
    samples = annotated([scored(1, 1.0), scored(3, 0.0), scored(2, 0.0, invalid="timeout"), scored(4, 1.0)])
    weights = loss_weights(samples, config(aggregation="token", optimizer_steps=2))
    assert [part.tolist() for part in weights] == [[0.25], [0.25] * 3, [0.0] * 2, [0.25] * 4]
    by_sequence = loss_weights(samples, config(aggregation="sequence"))
    assert [part.sum().item() for part in by_sequence] == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])


def test_advantages_reach_the_targets_of_their_samples():
    samples = annotated([scored(1, 1.0), scored(3, 0.0), scored(2, 2.0), scored(2, 2.0)])
    advantages = estimate(samples, config(name="rloo").algorithm, fixed())
    targets = policy_targets(samples, advantages, loss_weights(samples, config(name="rloo")))
    assert [target.response_advantages.tolist() for target in targets] == [[1.0], [-1.0] * 3, [0.0] * 2, [0.0] * 2]
    assert [target.response_rollout_logprobs.tolist() for target in targets] == [[-2.0], [-2.0] * 3, [-2.0] * 2, [-2.0] * 2]
    assert value_targets(samples, advantages, []) == []


def test_the_messages_of_a_step_grow_with_its_samples_and_no_faster():
    def size(num_samples):
        samples = annotated([scored(10 + i % 7, float(i % 2)) for i in range(num_samples)])
        samples, settings = replace(samples, values=samples.old_logprobs), config(name="ppo")
        advantages = estimate(samples, settings.algorithm, fixed())
        targets = [of(samples, advantages, loss_weights(samples, settings)) for of in (policy_targets, value_targets)]
        return len(pickle.dumps([MicrobatchSequences.of([samples.sequences]), *map(target_columns, targets)]))

    assert size(280) - size(140) <= 1.01 * 2 * (size(140) - size(70))


def test_values_become_targets_of_the_critic():
    samples = [scored(2, 1.0), scored(1, 0.0, finish="length")]
    values = [torch.tensor([0.5, 0.25]), torch.tensor([0.75])]
    valued = Annotated(samples, as_batches(samples), [torch.zeros(2), torch.zeros(1)], None, values)
    found = Advantages(torch.zeros(3), torch.tensor([1.0, 1.0, 0.75]))
    targets = value_targets(valued, found, [torch.ones(2) / 3, torch.ones(1) / 3])
    assert [target.response_returns.tolist() for target in targets] == [[1.0, 1.0], [0.75]]
    assert [target.response_old_values.tolist() for target in targets] == [[0.5, 0.25], [0.75]]


def test_mini_batches_keep_the_order_and_differ_by_one_at_most():
    assert list(mini_batches([1, 2, 3, 4, 5], 2)) == [[1, 2, 3], [4, 5]]
    assert list(mini_batches([], 2)) == []


@pytest.mark.parametrize(
    ("algorithm", "in_update"),
    [
        ({"name": "grpo"}, True),
        ({"name": "grpo", "optimizer_steps": 2}, False),
        ({"name": "grpo", "epochs": 2}, False),
        ({"name": "grpo", "old_logprobs": "rollout"}, False),
        ({"name": "grpo", "kl": {"coefficient": 0.1}}, False),
        ({"name": "ppo"}, False),
    ],
)
def test_old_log_probabilities_come_from_the_update_only_where_nothing_needs_them_before(algorithm, in_update):
    assert old_logprobs_from_update(config(**algorithm).algorithm) is in_update


def test_kl_is_in_the_loss_or_in_the_reward():
    kl = {"coefficient": 0.1, "apply_to": "loss"}
    assert policy_loss(config(kl=kl), fixed(kl=0.3), forbidden_ids=(), step=0).kl_coefficient == 0.3
    assert policy_loss(config(kl={**kl, "apply_to": "reward"}), fixed(kl=0.3), forbidden_ids=(), step=0).kl_coefficient == 0


def test_the_policy_waits_while_the_critic_warms_up():
    warming = parse_tree({"algorithm": {"name": "ppo"}, "critic": {"warmup_steps": 2}}, source="test")
    losses = [policy_loss(warming, fixed(), forbidden_ids=(), step=step) for step in range(3)]
    assert losses[:2] == [None, None]
    assert losses[2] is not None


def test_k1_is_refused_inside_the_loss():
    with pytest.raises(ValueError, match="k1 has no gradient towards the reference inside the loss: use k2 or k3"):
        config(kl={"coefficient": 0.1, "estimator": "k1", "apply_to": "loss"})


def test_a_step_without_a_verdict_moves_nothing():
    samples = annotated([scored(2, 0.0, invalid="timeout"), scored(2, 0.0, invalid="timeout")])
    settings = config(name="grpo", entropy_coefficient=0.1, entropy_target=0.5, kl={"coefficient": 0.1, "target": 0.1})
    controllers = make_controllers(settings)
    advantages = estimate(samples, settings.algorithm, controllers)
    loss = policy_loss(settings, controllers, forbidden_ids=(), step=0)
    updates = update(None, samples, advantages, settings, loss=loss)
    assert (updates.policy, updates.critic) == ([], [])
    adapt(controllers, samples, advantages, updates)
    assert controllers == make_controllers(settings)


def updated(logprobs, entropy=1.0):
    return PolicyUpdate(UpdateReport(0.0, 1.0, 1e-6, {"entropy": entropy}), logprobs)


def test_in_bypass_the_engines_log_probabilities_are_the_old_ones_and_nobody_is_asked():
    samples = [scored(2, 1.0), scored(1, 0.0)]
    found = annotate(None, samples, config(old_logprobs="rollout", optimizer_steps=2), forbidden_ids=())
    assert [part.tolist() for part in found.old_logprobs] == [[-2.0, -2.0], [-2.0]]
    first, second = updated([torch.tensor([-2.0, -2.5])]), updated([torch.tensor([-9.0])])
    assert mismatch_metrics(found, Updates([first, second], []))["mismatch/abs_max"] == 0.5, "the second update saw a changed policy"


def test_mismatch_is_of_the_old_log_probabilities_where_the_trainer_gave_them():
    samples = annotated([scored(2, 1.0), scored(1, 0.0)])
    assert mismatch_metrics(samples, Updates([updated([torch.zeros(2), torch.zeros(1)])], []))["mismatch/abs_max"] == 1.0


def test_a_step_moves_what_the_next_one_is_weighed_with():
    settings = config(name="rloo", entropy_coefficient=0.1, entropy_target=0.5)
    samples, controllers = annotated([scored(1, 1.0), scored(3, 0.0)]), make_controllers(settings)
    advantages = estimate(samples, settings.algorithm, controllers)
    adapt(controllers, samples, advantages, Updates([updated([], 0.5), updated([], 0.4)], []))  # 10 % short, 2 of 10000 samples
    assert controllers.entropy.coefficient == pytest.approx(0.1 * (1 + 0.1 * 2 / 10_000), rel=1e-12)
    assert policy_loss(settings, controllers, forbidden_ids=(), step=1).entropy_coefficient == controllers.entropy.coefficient


def test_the_critic_speaks_in_units_of_the_returns():
    """Rewards 5 and 1 of one token each: after a step the scale has mean 3 and deviation 2."""
    samples = [scored(1, 5.0), scored(1, 1.0)]
    settings = parse_tree({"algorithm": {"name": "ppo", "samples_per_prompt": 2}, "critic": {"normalize_returns": True}}, source="test")
    controllers, told = make_controllers(settings), [torch.tensor([1.0]), torch.tensor([-1.0])]
    valued = Annotated(samples, as_batches(samples), [torch.zeros(1)] * 2, None, told)
    first = estimate(valued, settings.algorithm, controllers)
    assert first.returns.tolist() == [5.0, 1.0]
    adapt(controllers, valued, first, Updates([], []))
    assert (controllers.returns.mean, controllers.returns.std) == (3.0, 2.0)
    second = estimate(valued, settings.algorithm, controllers)
    assert second.returns.tolist() == [1.0, -1.0]
    assert second.metrics["value/mean"] == 3.0 and second.metrics["value/explained_variance"] == 1.0, "1 and -1 are 5 and 1"
    assert [target.response_old_values.tolist() for target in value_targets(valued, second, told)] == [[1.0], [-1.0]]


class Ranks:
    """Stand in for the trainer's processes: note what they are asked, and answer at once."""

    def __init__(self):
        self.asked = []

    def logprobs(self, batch, view):
        self.asked.append(("logprobs", view.snapshot, len(batch.sequences)))
        return [torch.full((one.response_length,), -3.0 if view.snapshot else -1.0) for one in batch.sequences]

    def values(self, batch):
        self.asked.append(("values", None, len(batch.sequences)))
        return [torch.zeros(one.response_length) for one in batch.sequences]

    def update_values(self, batch, targets, *, value_clip):
        self.asked.append(("update_values", value_clip, len(targets)))
        return UpdateReport(0.0, 1.0, 1e-6)

    def update_policy(self, batch, targets, loss):
        self.asked.append(("update_policy", loss.name, len(targets)))
        return updated([torch.zeros(len(one.response_advantages)) for one in targets])


def test_the_ranks_are_asked_once_a_mini_batch_and_updated_once_an_epoch_the_critic_first():
    algorithm = {"name": "ppo", "samples_per_prompt": 2, "optimizer_steps": 2, "epochs": 3, "kl": {"coefficient": 0.1}}
    settings = parse_tree({"algorithm": algorithm, "critic": {"value_clip": 0.3}}, source="test")
    ranks = Ranks()
    found = annotate(ranks, [scored(length, float(length)) for length in (1, 2, 2, 1)], settings, forbidden_ids=())
    assert [part.tolist() for part in found.old_logprobs] == [[-1.0], [-1.0] * 2, [-1.0] * 2, [-1.0]]
    assert [part.tolist() for part in found.reference_logprobs] == [[-3.0], [-3.0] * 2, [-3.0] * 2, [-3.0]]
    assert ranks.asked == [
        *[("logprobs", None, 2)] * 2,
        *[("logprobs", "reference", 2)] * 2,
        *[("values", None, 2)] * 2,
    ]

    ranks.asked.clear()
    advantages = estimate(found, settings.algorithm, fixed(kl=0.1))
    done = update(ranks, found, advantages, settings, loss=policy_loss(settings, fixed(kl=0.1), forbidden_ids=(), step=0))
    assert ranks.asked == [*[("update_values", 0.3, 2)] * 2, *[("update_policy", "clip", 2)] * 2] * 3
    assert (len(done.policy), len(done.critic)) == (6, 6)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_named_with_its_samples_and_what_to_try(number):
    samples = [scored(2, 1.0), scored(3, 0.0), scored(2, 1.0)]
    tensors = [torch.zeros(2), torch.tensor([0.0, number, 0.0]), torch.zeros(2)]
    check_finite("the critic's values", [torch.zeros(2)] * 3, samples)
    check_finite("the critic's values", None, samples)
    with pytest.raises(NotFinite) as error, explaining_divergence(6, 3, config()):
        check_finite("the critic's values", tensors, samples)
    said = str(error.value)
    assert said.startswith(
        "step 7 of 3 samples: the critic's values of 1 of 3 samples are not finite (of prompts p:0). Nothing of this step"
    )
    assert "Lower optimizer.learning_rate" in said and "\n" not in said


def test_what_vllm_says_is_looked_at_before_the_trainer_is_asked():
    silent = scored(2, 1.0)
    silent.sample.completion.response_logprobs[1] = float("nan")
    with pytest.raises(NotFinite, match=r"the rollout engine's log-probabilities of 1 of 2 samples are not finite"):
        annotate(Ranks(), [scored(2, 1.0), silent], config(), forbidden_ids=())
