"""The three losses of a microbatch: what one micro-batch adds to the loss and the metrics of an optimizer step.

An objective takes tensors with one entry per response token of the microbatch and returns sums, never means: tokens carry their share of
the step's loss as `weights`, and micro-batches and ranks only add up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lmm_r1_mega.algorithms.kl import kl_estimate
from lmm_r1_mega.algorithms.losses import POLICY_LOSSES, PolicyLoss, clipped_value_loss
from lmm_r1_mega.algorithms.metrics import ratio_spread
from lmm_r1_mega.algorithms.ratios import importance_weights, policy_ratio
from lmm_r1_mega.training.vocab_parallel import TokenScores


class Objective(NamedTuple):
    """What a micro-batch adds to its optimizer step."""

    loss: Float[Tensor, ""]
    """Sum of weight x token loss."""
    sums: dict[str, Float[Tensor, ""]]
    """Sums over the trained tokens by metric name; `num_tokens` of them."""
    extremes: dict[str, Float[Tensor, "2"]]
    """Smallest and largest number among the trained tokens by metric name; inf and -inf where there are none."""


@dataclass(frozen=True)
class PolicyTokens:
    """A microbatch's targets, one entry per response token of all its sequences."""

    segments: Int[Tensor, "tokens"]
    """Number of the sequence within the micro-batch: sequence ratios are sums over segments, which a micro-batch has whole."""
    weights: Float[Tensor, "tokens"]
    advantages: Float[Tensor, "tokens"]
    old_logprobs: Float[Tensor, "tokens"] | None
    """None where the policy has not changed since it sampled: then they are its present ones."""
    rollout_logprobs: Float[Tensor, "tokens"]
    reference_logprobs: Float[Tensor, "tokens"] | None


@dataclass(frozen=True)
class ValueTokens:
    """A microbatch's targets, one entry per response token of all its sequences."""

    weights: Float[Tensor, "tokens"]
    returns: Float[Tensor, "tokens"]
    old_values: Float[Tensor, "tokens"]


def policy_objective(scores: TokenScores, tokens: PolicyTokens, loss: PolicyLoss) -> Objective:
    """The policy loss of a micro-batch, with the KL to the reference and the entropy bonus where they have a coefficient."""
    if tokens.old_logprobs is None:
        return policy_objective(scores, replace(tokens, old_logprobs=scores.logprobs.detach()), loss)
    rule = POLICY_LOSSES[loss.name]
    ratio = rule.ratio(scores.logprobs, tokens.old_logprobs, tokens.segments)
    per_token = rule.loss(ratio, scores.logprobs, tokens.advantages, loss.clip)
    importance = _importance(tokens, loss)
    if importance is not None:
        per_token = per_token * importance
    if loss.kl_coefficient:
        kl = kl_estimate(scores.logprobs, _reference(tokens), loss.kl_estimator)
        kl = kl * policy_ratio(scores.logprobs, tokens.old_logprobs) if loss.kl_weighted else kl
        per_token = per_token + loss.kl_coefficient * kl
    if loss.entropy_coefficient:
        per_token = per_token - loss.entropy_coefficient * scores.entropy
    sums = _policy_sums(scores, tokens, loss, ratio, importance)
    return Objective((tokens.weights * per_token).sum(), sums, {"ratio": _extremes(ratio.detach(), tokens.weights)})


def value_objective(values: Float[Tensor, "tokens"], tokens: ValueTokens, *, clip: float) -> Objective:
    """Clipped value loss."""
    per_token = clipped_value_loss(values, tokens.old_values, tokens.returns, clip=clip)
    present = values.detach()
    sums = _summed(
        {
            "value/mean": present,
            "value/error": (present - tokens.returns).square(),
            "value/clip_ratio": ((present - tokens.old_values).abs() > clip).float(),
        },
        tokens.weights,
    )
    return Objective((tokens.weights * per_token).sum(), sums, {})


def sft_objective(scores: TokenScores, weights: Float[Tensor, "tokens"]) -> Objective:
    """Negative log-likelihood of the demonstrations."""
    sums = _summed({"logprob": scores.logprobs.detach(), "entropy": scores.entropy.detach()}, weights)
    return Objective(-(weights * scores.logprobs).sum(), sums, {})


def _importance(tokens: PolicyTokens, loss: PolicyLoss) -> Tensor | None:
    if loss.importance is None:
        return None
    return importance_weights(tokens.old_logprobs, tokens.rollout_logprobs, tokens.segments, loss.importance)


def _reference(tokens: PolicyTokens) -> Tensor:
    if tokens.reference_logprobs is None:
        raise ValueError("a KL term in the loss needs response_reference_logprobs: keep a reference, or set algorithm.kl.coefficient to 0")
    return tokens.reference_logprobs


@torch.no_grad()
def _policy_sums(
    scores: TokenScores, tokens: PolicyTokens, loss: PolicyLoss, ratio: Tensor, importance: Tensor | None
) -> dict[str, Tensor]:
    clipped = POLICY_LOSSES[loss.name].clipped(ratio, tokens.advantages, loss.clip)
    metrics = {
        "entropy": scores.entropy,
        "ratio/mean": ratio,
        "ratio/square": ratio.double().square(),
        "approx_kl": kl_estimate(tokens.old_logprobs, scores.logprobs, "k3"),
        "clip_ratio/low_mean": clipped.low.float(),
        "clip_ratio/high_mean": clipped.high.float(),
        "clip_ratio/region_mean": (clipped.low | clipped.high).float(),
    }
    if importance is not None:
        metrics |= {"importance/mean": importance, "importance/masked_ratio": (importance == 0).float()}
    has_reference = tokens.reference_logprobs is not None
    reference = tokens.reference_logprobs if has_reference else scores.logprobs
    metrics["kl"] = kl_estimate(scores.logprobs, reference, loss.kl_estimator)
    sums = _summed(metrics, tokens.weights)
    return sums | {"num_reference_tokens": sums["num_tokens"] * has_reference}


def means(sums: dict[str, float]) -> dict[str, float]:
    """Means over a step's trained tokens; `kl` is left out where there was no reference. The ratio's square tells of its spread."""
    counts = {"kl": sums.get("num_reference_tokens", 0.0)}
    names = [name for name in sums if not name.startswith("num_")]
    found = {name: sums[name] / count for name in names if (count := counts.get(name, sums["num_tokens"]))}
    square = found.pop("ratio/square", None)
    return found if square is None else found | ratio_spread(found["ratio/mean"], square)


def _extremes(values: Tensor, weights: Tensor) -> Tensor:
    """Smallest and largest of the values that have a weight."""
    trained = values[weights != 0]
    bounds = values.new_tensor([torch.inf, -torch.inf])
    return torch.stack([torch.cat([trained, bounds[:1]]).amin(), torch.cat([trained, bounds[1:]]).amax()])


def _summed(metrics: dict[str, Tensor], weights: Tensor) -> dict[str, Tensor]:
    """Sums in float64 over the tokens that have a weight: tokens of invalid samples have none."""
    trained = weights != 0
    sums = {name: values.detach()[trained].sum(dtype=torch.float64) for name, values in metrics.items()}
    return sums | {"num_tokens": trained.sum(dtype=torch.float64)}
