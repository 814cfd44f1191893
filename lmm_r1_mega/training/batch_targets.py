"""Between sequences and the loss positions of their packed micro-batch, in both directions."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from lmm_r1_mega.batching.packing import gather_responses, scatter_responses
from lmm_r1_mega.schema import PackedBatch, PolicyTarget, PromptImages, Sequence, SFTTarget, ValueTarget
from lmm_r1_mega.training.objectives import PolicyTokens, ValueTokens


def policy_tokens(microbatch: PackedBatch, targets: list[PolicyTarget]) -> PolicyTokens:
    """The targets of a microbatch's sequences at its loss positions.

    Raises: ValueError where only some of them have old or reference log-probabilities.
    """
    sequences = [target.sequence for target in targets]
    return PolicyTokens(
        segments=_segments(microbatch, sequences),
        weights=_at_loss_positions(microbatch, sequences, [target.response_weights for target in targets]),
        advantages=_at_loss_positions(microbatch, sequences, [target.response_advantages for target in targets]),
        old_logprobs=_all_or_none(microbatch, sequences, [target.response_old_logprobs for target in targets], name="old"),
        rollout_logprobs=_at_loss_positions(microbatch, sequences, [target.response_rollout_logprobs for target in targets]),
        reference_logprobs=_all_or_none(
            microbatch, sequences, [target.response_reference_logprobs for target in targets], name="reference"
        ),
    )


def value_tokens(microbatch: PackedBatch, targets: list[ValueTarget]) -> ValueTokens:
    """The targets of a microbatch's sequences at its loss positions."""
    sequences = [target.sequence for target in targets]
    return ValueTokens(
        weights=_at_loss_positions(microbatch, sequences, [target.response_weights for target in targets]),
        returns=_at_loss_positions(microbatch, sequences, [target.response_returns for target in targets]),
        old_values=_at_loss_positions(microbatch, sequences, [target.response_old_values for target in targets]),
    )


def sft_weights(microbatch: PackedBatch, targets: list[SFTTarget]) -> Float[Tensor, "tokens"]:
    """The weights of a microbatch's demonstrations at its loss positions."""
    return _at_loss_positions(microbatch, [target.sequence for target in targets], [target.response_weights for target in targets])


def by_sequence(
    microbatch: PackedBatch, sequences: list[Sequence], at_loss_positions: Shaped[Tensor, "tokens"]
) -> list[Shaped[Tensor, "response"]]:
    """One tensor a response, on the host, from the values at the microbatch's loss positions; the inverse of the functions above."""
    whole = torch.zeros(len(microbatch.labels), dtype=at_loss_positions.dtype)
    whole[microbatch.loss_mask.cpu()] = at_loss_positions.cpu()
    return [response.clone() for response in gather_responses(sequences, whole)]


def on_device(microbatch: PackedBatch, device: torch.device, *, with_images: bool) -> PackedBatch:
    """The micro-batch where the model is; only the stage with the vision tower needs the images."""
    images, image_features = (microbatch.images, microbatch.image_features) if with_images else (None, None)
    if images is not None and image_features is not None:
        images = PromptImages(patches=images.patches.to(device), grid_thw=images.grid_thw.to(device))
        image_features = image_features.to(device)
    names = ("input_ids", "labels", "position_ids", "loss_mask", "sequence_starts", "borrowed")
    moved = {name: tensor.to(device) for name, tensor in vars(microbatch).items() if name in names}
    return replace(microbatch, **moved, images=images, image_features=image_features)


def _segments(microbatch: PackedBatch, sequences: list[Sequence]) -> Tensor:
    """Number of its sequence at each of the microbatch's loss positions."""
    numbers = [torch.full((sequence.response_length,), number) for number, sequence in enumerate(sequences)]
    return _at_loss_positions(microbatch, sequences, numbers).long()


def _all_or_none(microbatch: PackedBatch, sequences: list[Sequence], values: list[Tensor | None], *, name: str) -> Tensor | None:
    """`_at_loss_positions` of log-probabilities that all sequences have, or none."""
    present = [value for value in values if value is not None]
    if values and not present:
        return None
    if len(present) < len(values):
        raise ValueError(f"{len(present)} of {len(values)} sequences of a microbatch have {name} log-probabilities: give all or none")
    return _at_loss_positions(microbatch, sequences, present)


def _at_loss_positions(microbatch: PackedBatch, sequences: list[Sequence], values: list[Tensor]) -> Tensor:
    """Values of the responses at the microbatch's loss positions; entries of positions without a target are 0."""
    whole = scatter_responses(sequences, values, batch_length=len(microbatch.labels))
    return whole.to(microbatch.loss_mask.device)[microbatch.loss_mask]
