"""What an estimator sees and gives: all samples of a step, one row each, padded on the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, arange
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True)
class Trajectories:
    """The samples of a step; the samples of a prompt are neighbours. Padding may hold any finite number."""

    rewards: Float[Tensor, "samples"]
    """One number a response; anything where `valid` is false."""
    valid: Bool[Tensor, "samples"]
    """False where the rewards gave no verdict: such a sample is in no statistic and trains nothing."""
    truncated: Bool[Tensor, "samples"]
    """True where the length limit ended the response."""
    mask: Bool[Tensor, "samples length"]
    """True on the response's tokens, which lie at the start of the row."""
    old_logprobs: Float[Tensor, "samples length"]
    """By the trainer's policy before its first update."""
    group_size: int
    """Samples of one prompt."""
    reference_logprobs: Float[Tensor, "samples length"] | None = None
    values: Float[Tensor, "samples length"] | None = None
    """The critic's value of the state before each token."""


@dataclass(frozen=True)
class Advantages:
    """What the losses need. Rows and columns are those of the trajectories; 0 on padding and on invalid samples."""

    advantages: Float[Tensor, "samples length"]
    returns: Float[Tensor, "samples length"] | None
    """Targets of the critic; None without one."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Means over the step, named as they appear in metrics.jsonl."""


def response_mask(lengths: Int[Tensor, "samples"]) -> Bool[Tensor, "samples length"]:
    """True on the first `lengths[i]` columns of row i; as many columns as the longest response has tokens."""
    return arange(int(lengths.max()), device=lengths.device) < lengths[:, None]


def pad_responses(responses: Sequence[Shaped[Tensor, "_"]]) -> Shaped[Tensor, "samples length"]:
    """Put `response_` tensors under one another, padded on the right with 0. `cut_responses` is the inverse."""
    return pad_sequence(list(responses), batch_first=True)


def cut_responses(padded: Shaped[Tensor, "samples length"], lengths: Int[Tensor, "samples"]) -> list[Shaped[Tensor, "_"]]:
    """Take the rows of a padded tensor as `response_` tensors of their own lengths. The inverse of `pad_responses`.

    They are copies: a view would carry the whole padded tensor into the message that its sample is sent in.
    """
    return [row[:length].clone() for row, length in zip(padded, lengths.tolist(), strict=True)]
