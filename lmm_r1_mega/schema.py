"""The types that cross a process border, one per stage of a sample's life.

    Prompt -> Completion -> Sample -> Scored -> Sequence -> PolicyTarget / ValueTarget / SFTTarget -> (packed) PackedBatch

Alignment. Names that begin with `response_` have one entry per sampled token. In a packed `PackedBatch` every per-token tensor has
the length of `labels`, and entry t is about predicting `labels[t]`; `batching.packing` is the only module that moves from one to
the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # reward workers read these types without the seconds that importing torch takes
    from jaxtyping import Bool, Float, Int, UInt8
    from torch import Tensor

FinishReason = Literal["stop", "length"]
GoldAnswer = str | int | float | None
"""A gold answer, as the record has it."""
Role = Literal["policy", "critic"]
"""A model that is trained."""


@dataclass(frozen=True, eq=False)
class PromptImages:
    """All images of one prompt, resized: the one form in which images are kept and sent. `data.images.patches` has the others.

    An image of a million pixels takes 3 MB, an eighth of the vision tower's numbers. One `PromptImages` is equal to itself only.
    """

    patches: UInt8[Tensor, "patches bytes"]
    """Red, then green, then blue of every pixel of a patch; patches in the vision tower's order."""
    grid_thw: Int[Tensor, "images 3"]
    """Patches of each image along time, height and width, before merging."""


@dataclass(frozen=True)
class Prompt:
    """One question, tokenized and with its images decoded once. Samples of a prompt share `images`."""

    id: str
    """Unique over all data files: `<file stem>:<micro-batch id or index>`."""
    source: str
    """The microbatch's `datasource`, else the file's stem."""
    text: str
    """The rendered chat template, image positions included; for people and rewards."""
    token_ids: tuple[int, ...]
    """Unexpanded: one image token an image. What vLLM takes."""
    expanded_ids: tuple[int, ...]
    """Every image token repeated once per merged patch. What the trainer sees."""
    images: PromptImages | None
    """Its images, for engine and trainer alike; None without."""
    answer: GoldAnswer
    """Gold answer as the micro-batch has it."""


@dataclass(frozen=True)
class Completion:
    """What an engine returns for one sample of a prompt."""

    prompt_ids: tuple[int, ...]
    """Expanded by vLLM; equals `Prompt.expanded_ids`."""
    response_ids: Int[Tensor, "response"]
    """Ends with the end-of-turn token where finish_reason is `stop`."""
    response_logprobs: Float[Tensor, "response"]
    """Of the distribution that was sampled from (temperature applied)."""
    text: str
    """The response without special tokens."""
    finish_reason: FinishReason
    weight_version: int


@dataclass(frozen=True)
class Sample:
    """A prompt and one answer to it. Samples of a prompt are neighbors in a list and share `prompt`."""

    prompt: Prompt
    completion: Completion


@dataclass(frozen=True)
class Score:
    """The verdict of the rewards on one sample."""

    reward: float | None
    """Weighted sum of the parts; None exactly where `invalid` says why."""
    parts: dict[str, float]
    invalid: str | None = None


@dataclass(frozen=True)
class Scored:
    sample: Sample
    score: Score


@dataclass(frozen=True)
class Sequence:
    """Tokens for the trainer: an expanded prompt, then a response. Sequences of one prompt share `images`."""

    token_ids: Int[Tensor, "tokens"]
    prompt_length: int
    images: PromptImages | None

    @property
    def response_length(self) -> int:
        return len(self.token_ids) - self.prompt_length


@dataclass(frozen=True)
class TokenStats:
    """What the trainer's policy says about the response of one sequence."""

    response_logprobs: Float[Tensor, "response"]
    response_entropy: Float[Tensor, "response"]


@dataclass(frozen=True)
class PolicyTarget:
    """One sequence with all that the policy loss needs."""

    sequence: Sequence
    response_weights: Float[Tensor, "response"]
    """Share of each token in the optimizer step's loss: micro-batches and ranks only sum weight x token loss."""
    response_advantages: Float[Tensor, "response"]
    response_old_logprobs: Float[Tensor, "response"] | None
    """By the trainer, before this step's first update; None where this is the first, and its own forward pass gives them."""
    response_rollout_logprobs: Float[Tensor, "response"]
    """By vLLM."""
    response_reference_logprobs: Float[Tensor, "response"] | None = None


@dataclass(frozen=True)
class ValueTarget:
    """One sequence with all that the value loss needs."""

    sequence: Sequence
    response_weights: Float[Tensor, "response"]
    """Share of each token in the optimizer step's loss."""
    response_returns: Float[Tensor, "response"]
    response_old_values: Float[Tensor, "response"]


@dataclass(frozen=True)
class SFTTarget:
    """One demonstration: `sequence`'s response is the assistant's final turn."""

    sequence: Sequence
    response_weights: Float[Tensor, "response"]
    """Share of each token in the optimizer step's loss."""


@dataclass(frozen=True)
class PackedBatch:
    """Sequences packed end to end without padding: one micro-batch.

    A sequence of n tokens takes n - 1 positions: its inputs are tokens 0..n-2, its labels tokens 1..n-1. Neighbors of one prompt share
    the prompt's positions. Places that only fill the microbatch up to a multiple are a sequence of their own, with `loss_mask` false.
    """

    input_ids: Int[Tensor, "tokens"]
    labels: Int[Tensor, "tokens"]
    position_ids: Int[Tensor, "axes tokens"]
    """M-RoPE positions (time, height, width) of the inputs."""
    loss_mask: Bool[Tensor, "tokens"]
    """True where labels[t] was sampled by the policy."""
    sequence_starts: Int[Tensor, "sequences+1"]
    """int32; first place of each sequence, then the microbatch's length (`cu_seqlens`)."""
    borrowed: Int[Tensor, "sequences 2"]
    """First place and number of positions of the prompt that a sequence takes from one before it, which come before its own; number 0
    where it takes none (`batching.sharing`)."""
    images: PromptImages | None
    """The distinct images of the micro-batch: sequences that share an image share its pass through the vision tower."""
    image_features: Int[Tensor, "image_tokens"] | None
    """For each image token of the microbatch which of the vision tower's features it takes."""


@dataclass(frozen=True)
class PolicyUpdate:
    """One optimizer step of the policy."""

    report: UpdateReport
    response_logprobs: list[Float[Tensor, "response"]]
    """Of every sequence, by the policy before the step."""


@dataclass(frozen=True)
class UpdateReport:
    """One optimizer step."""

    loss: float
    grad_norm: float
    learning_rate: float
    metrics: dict[str, float] = field(default_factory=dict)
    """Means over the step's trained tokens (or sequences), named as they appear in metrics.jsonl."""
