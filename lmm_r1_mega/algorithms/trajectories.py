"""What an estimator sees and gives: all samples of a step, their tokens end to end without padding."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Trajectories:
    """The samples of a step; the samples of a prompt are neighbors."""

    rewards: Float[Tensor, "samples"]
    """One number a response; anything where `valid` is false."""
    valid: Bool[Tensor, "samples"]
    """False where the rewards gave no verdict: such a sample is in no statistic and trains nothing."""
    truncated: Bool[Tensor, "samples"]
    """True where the length limit ended the response."""
    lengths: Int[Tensor, "samples"]
    """Tokens of each response."""
    old_logprobs: Float[Tensor, "tokens"]
    """By the trainer's policy before its first update."""
    group_size: int
    """Samples of one prompt."""
    reference_logprobs: Float[Tensor, "tokens"] | None = None
    values: Float[Tensor, "tokens"] | None = None
    """The critic's value of the state before each token."""

    @cached_property
    def counted(self) -> Bool[Tensor, "tokens"]:
        """True on the tokens of valid samples."""
        return each_token(self.valid, self.lengths)


@dataclass(frozen=True)
class Advantages:
    """What the losses need. Tokens are those of the trajectories; 0 on those of invalid samples."""

    advantages: Float[Tensor, "tokens"]
    returns: Float[Tensor, "tokens"] | None
    """Targets of the critic; None without one."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Means over the step, named as they appear in metrics.jsonl."""


def each_token(per_sample: Shaped[Tensor, "samples"], lengths: Int[Tensor, "samples"]) -> Shaped[Tensor, "tokens"]:
    """A sample's number at each of its tokens.

    Example: numbers [5, 6, 7], lengths [2, 0, 1] -> [5, 5, 7]
    """
    return per_sample.repeat_interleave(lengths)


def cut_responses(tokens: Shaped[Tensor, "tokens"], lengths: Int[Tensor, "samples"]) -> list[Shaped[Tensor, "_"]]:
    """The `response_` tensor of each sample, as a view; `torch.cat` is the inverse."""
    return list(tokens.split(lengths.tolist()))
