"""From scored samples to optimizer steps: what the loop calls between the rewards and the next generation.

A step's samples are cut into as many mini-batches as there are optimizer steps in an epoch. Old log-probabilities are
computed for each mini-batch by itself, hence with the same packed rows as its update: the first ratio is exactly 1. Where a
step has one update and nothing needs them before it, the update's own forward pass gives them and no other is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import fmean
from typing import TypeVar

import torch
from torch import Tensor

from lmm_r1_mega.algorithms.controllers import Controllers
from lmm_r1_mega.algorithms.losses import Clip, PolicyLoss
from lmm_r1_mega.algorithms.metrics import mismatch
from lmm_r1_mega.algorithms.ratios import Importance
from lmm_r1_mega.algorithms.table import aggregation_of, prepare
from lmm_r1_mega.algorithms.trajectories import Advantages, Trajectories, cut_responses, each_token
from lmm_r1_mega.algorithms.weights import token_weights
from lmm_r1_mega.cluster.trainers import MiniBatch, Trainers
from lmm_r1_mega.cluster.workers import PolicyView
from lmm_r1_mega.config import AlgorithmSettings, Config
from lmm_r1_mega.errors import NotFinite
from lmm_r1_mega.schema import PolicyTarget, PolicyUpdate, Sample, Scored, Sequence, UpdateReport, ValueTarget

REFERENCE = "reference"
T = TypeVar("T")


@dataclass(frozen=True)
class Annotated:
    """A step's samples with what the trainer's models say about them, one entry a sample."""

    scored: list[Scored]
    batches: list[MiniBatch]
    """Neighboring samples, an optimizer step each."""
    old_logprobs: list[Tensor] | None
    """None where the update's own forward pass gives them."""
    reference_logprobs: list[Tensor] | None
    values: list[Tensor] | None
    """In the critic's units."""
    is_bypass: bool = False
    """Whether the old log-probabilities are the rollout engine's."""

    @property
    def sequences(self) -> list[Sequence]:
        return [sequence for batch in self.batches for sequence in batch.sequences]

    @property
    def lengths(self) -> Tensor:
        return torch.tensor([sequence.response_length for sequence in self.sequences])

    @property
    def valid(self) -> Tensor:
        return torch.tensor([one.score.invalid is None for one in self.scored])


def annotate(trainers: Trainers, scored: list[Scored], config: Config, *, forbidden_ids: tuple[int, ...]) -> Annotated:
    """Ask the policy, and where the algorithm has them the reference and the critic, about every sampled token.

    `forbidden_ids` are the tokens that the sampler could not draw: the policy is the distribution over the others.
    """
    sequences = as_sequences(one.sample for one in scored)
    batches = [MiniBatch(batch) for batch in mini_batches(sequences, config.algorithm.optimizer_steps)]
    policy = PolicyView(config.rollout.temperature, forbidden_ids)
    reference = replace(policy, snapshot=REFERENCE)

    def by_batch(ask: Callable[[MiniBatch], list[Tensor]]) -> list[Tensor]:
        return [answer for batch in batches for answer in ask(batch)]

    check_finite("the rollout engine's log-probabilities", rollout_logprobs(scored), scored)
    is_bypass = config.algorithm.old_logprobs == "rollout"
    own = None if is_bypass or old_logprobs_from_update(config.algorithm) else by_batch(lambda batch: trainers.logprobs(batch, policy))
    annotated = Annotated(
        scored=scored,
        batches=batches,
        old_logprobs=rollout_logprobs(scored) if is_bypass else own,
        reference_logprobs=by_batch(lambda batch: trainers.logprobs(batch, reference)) if config.algorithm.needs_reference else None,
        values=by_batch(trainers.values) if config.algorithm.needs_critic else None,
        is_bypass=is_bypass,
    )
    check_finite("the trainer's log-probabilities", annotated.old_logprobs, scored)
    check_finite("the reference's log-probabilities", annotated.reference_logprobs, scored)
    check_finite("the critic's values", annotated.values, scored)
    return annotated


def check_finite(name: str, tensors: list[Tensor] | None, scored: list[Scored]) -> None:
    """Raises: NotFinite that names the samples of which a tensor, one a sample, has a number that is none."""
    bad = [one.sample.prompt.id for one, tensor in zip(scored, tensors or [], strict=tensors is not None) if not tensor.isfinite().all()]
    if bad:
        raise NotFinite(f"{name} of {len(bad)} of {len(scored)} samples are not finite (of prompts {', '.join(dict.fromkeys(bad[:3]))})")


@contextmanager
def explaining_divergence(step: int, num_samples: int, config: Config) -> Iterator[None]:
    """Says of numbers that are none at which step they came and what to try."""
    try:
        yield
    except NotFinite as error:
        optimizer = config.optimizer
        raise NotFinite(
            f"step {step + 1} of {num_samples} samples: {error}. Nothing of this step is published or saved, and the checkpoints before it "
            f"are as they were. Lower optimizer.learning_rate {optimizer.learning_rate} or optimizer.grad_clip {optimizer.grad_clip}, or "
            f"set model.precision fp32, then go on with `lmm-r1-mega resume`; in a first step look at the model's weights"
        ) from error


def old_logprobs_from_update(settings: AlgorithmSettings) -> bool:
    """Whether the one update of a step gives the trainer's old log-probabilities, and nothing needs them before it."""
    one_update = settings.optimizer_steps == settings.epochs == 1 and settings.old_logprobs == "trainer"
    return one_update and not settings.needs_reference and not settings.needs_critic


def as_sequences(samples: Iterable[Sample]) -> list[Sequence]:
    """The tokens of samples exactly as the engine returned them."""
    sequences: list[Sequence] = []
    for prompt_ids, neighbors in groupby(samples, key=lambda sample: sample.completion.prompt_ids):
        ids = torch.tensor(prompt_ids)
        sequences += [Sequence(torch.cat([ids, one.completion.response_ids]), len(ids), one.prompt.images) for one in neighbors]
    return sequences


def estimate(annotated: Annotated, settings: AlgorithmSettings, controllers: Controllers) -> Advantages:
    """Advantages, and for a critic returns in its units, of all samples of a step."""
    scale, values = controllers.returns, annotated.values
    trajectories = Trajectories(
        rewards=torch.tensor([one.score.reward or 0.0 for one in annotated.scored]),
        valid=annotated.valid,
        truncated=torch.tensor([one.sample.completion.finish_reason == "length" for one in annotated.scored]),
        lengths=annotated.lengths,
        old_logprobs=torch.cat(annotated.old_logprobs or rollout_logprobs(annotated.scored)),  # read for the KL to a reference only
        group_size=settings.samples_per_prompt,
        reference_logprobs=None if annotated.reference_logprobs is None else torch.cat(annotated.reference_logprobs),
        values=None if values is None else scale.from_critic(torch.cat(values)),
    )
    found = prepare(trajectories, settings, controllers.kl.coefficient)
    return replace(found, returns=None if found.returns is None else scale.to_critic(found.returns) * trajectories.counted)


@dataclass(frozen=True)
class Updates:
    """Reports of all optimizer steps on one step's samples."""

    policy: list[PolicyUpdate]
    critic: list[UpdateReport]


def update(trainers: Trainers, annotated: Annotated, advantages: Advantages, config: Config, *, loss: PolicyLoss | None) -> Updates:
    """All optimizer steps on a step's samples; the critic first, against the values it gave. Without `loss` only the critic learns.

    A step in which nothing is scored teaches nothing, and no optimizer moves.
    """
    weights, count = loss_weights(annotated, config), config.algorithm.optimizer_steps
    of_critic = list(mini_batches(value_targets(annotated, advantages, weights), count))
    of_policy = list(mini_batches(policy_targets(annotated, advantages, weights), count))
    updates = Updates([], [])
    for _ in range(config.algorithm.epochs if annotated.valid.any() else 0):
        for batch, values in zip(annotated.batches, of_critic, strict=False):
            updates.critic.append(trainers.update_values(batch, values, value_clip=config.critic.value_clip))
        if loss is not None:
            updates.policy.extend(trainers.update_policy(*one, loss) for one in zip(annotated.batches, of_policy, strict=True))
    return updates


def policy_loss(config: Config, controllers: Controllers, *, forbidden_ids: tuple[int, ...], step: int) -> PolicyLoss | None:
    """The policy's loss at a step; None while only the critic warms up."""
    algorithm = config.algorithm
    if algorithm.needs_critic and step < config.critic.warmup_steps:
        return None
    return PolicyLoss(
        clip=Clip(algorithm.clip_low, algorithm.clip_high, algorithm.dual_clip),
        temperature=config.rollout.temperature,
        name=algorithm.policy_loss,
        forbidden_ids=forbidden_ids,
        importance=_importance(algorithm),
        kl_coefficient=controllers.kl.coefficient if algorithm.kl.apply_to == "loss" else 0.0,
        kl_estimator=algorithm.kl.estimator,
        kl_weighted=algorithm.kl.importance_weighted,
        entropy_coefficient=controllers.entropy.coefficient,
    )


def _importance(settings: AlgorithmSettings) -> Importance | None:
    """How tokens are weighed for the mismatch; None where neither a cap nor bounds ask for it."""
    if settings.importance_cap is None and settings.importance_bounds is None:
        return None
    return Importance(settings.importance_level, settings.importance_cap, settings.importance_bounds)


def adapt(controllers: Controllers, annotated: Annotated, advantages: Advantages, updates: Updates) -> None:
    """Let a finished step move what the next one is weighed with. A step in which nothing is scored moves nothing."""
    if not annotated.valid.any():
        return
    measured, num_samples = advantages.metrics, len(annotated.scored)
    controllers.kl.update(measured["kl"], num_samples)
    if updates.policy:
        controllers.entropy.update(fmean(one.report.metrics["entropy"] for one in updates.policy), num_samples)
    if advantages.returns is not None:
        controllers.returns.update(measured["value/return_mean"], measured["value/return_std"])


def loss_weights(annotated: Annotated, config: Config) -> list[Tensor]:
    """Weight of every response token in the loss of its optimizer step, one [response] tensor a sample."""
    aggregation, limit = aggregation_of(config.algorithm), config.rollout.max_response_tokens
    lengths, valid = (torch.tensor_split(column, config.algorithm.optimizer_steps) for column in (annotated.lengths, annotated.valid))
    weights = [token_weights(*step, aggregation, max_response_tokens=limit) for step in zip(lengths, valid, strict=True)]
    return cut_responses(each_token(torch.cat(weights), annotated.lengths), annotated.lengths)


def policy_targets(annotated: Annotated, advantages: Advantages, weights: list[Tensor]) -> list[PolicyTarget]:
    """What the policy loss needs, a target a sample."""
    nothing = [None] * len(annotated.scored)
    columns = zip(
        annotated.sequences,
        weights,
        cut_responses(advantages.advantages, annotated.lengths),
        annotated.old_logprobs or nothing,
        rollout_logprobs(annotated.scored),
        annotated.reference_logprobs or nothing,
        strict=True,
    )
    return [PolicyTarget(*column) for column in columns]


def value_targets(annotated: Annotated, advantages: Advantages, weights: list[Tensor]) -> list[ValueTarget]:
    """What the value loss needs, a target a sample; none without a critic."""
    if advantages.returns is None or annotated.values is None:
        return []
    columns = zip(annotated.sequences, weights, cut_responses(advantages.returns, annotated.lengths), annotated.values, strict=True)
    return [ValueTarget(*column) for column in columns]


def mini_batches(items: list[T], count: int) -> Iterator[list[T]]:
    """Cut a list into `count` neighboring pieces whose lengths differ by at most one.

    Example: 5 items in 2 -> the first 3, the last 2
    """
    for indices in torch.tensor_split(torch.arange(len(items)), count) if items else ():
        yield [items[i] for i in indices.tolist()]


def rollout_logprobs(scored: list[Scored]) -> list[Tensor]:
    """The engine's log-probabilities of what it sampled, one [response] tensor a sample."""
    return [one.sample.completion.response_logprobs for one in scored]


def mismatch_metrics(annotated: Annotated, updates: Updates) -> dict[str, float]:
    """How far the rollout engine's log-probabilities are from the trainer's on the same tokens, before any update."""
    asked = None if annotated.is_bypass else annotated.old_logprobs
    own = asked or [logprobs for first in updates.policy[:1] for logprobs in first.response_logprobs]
    if not own:
        return {}
    return mismatch(torch.cat(own), torch.cat(rollout_logprobs(annotated.scored[: len(own)])))
