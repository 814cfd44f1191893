"""Between sequences and the trained places of their packed row, in both directions."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from lmm_r1_mega.data.packing import place, take
from lmm_r1_mega.schema import PolicyTarget, Row, Sequence, SFTTarget, ValueTarget, Vision
from lmm_r1_mega.training.objectives import PolicyTokens, ValueTokens


def policy_tokens(row: Row, targets: list[PolicyTarget]) -> PolicyTokens:
    """The targets of a row's sequences at its trained places.

    Raises: ValueError where only some of them have old or reference log-probabilities.
    """
    sequences = [target.sequence for target in targets]
    return PolicyTokens(
        segments=_segments(row, sequences),
        weights=_at_places(row, sequences, [target.response_weights for target in targets]),
        advantages=_at_places(row, sequences, [target.response_advantages for target in targets]),
        old_logprobs=_all_or_none(row, sequences, [target.response_old_logprobs for target in targets], name="old"),
        rollout_logprobs=_at_places(row, sequences, [target.response_rollout_logprobs for target in targets]),
        reference_logprobs=_all_or_none(row, sequences, [target.response_reference_logprobs for target in targets], name="reference"),
    )


def value_tokens(row: Row, targets: list[ValueTarget]) -> ValueTokens:
    """The targets of a row's sequences at its trained places."""
    sequences = [target.sequence for target in targets]
    return ValueTokens(
        weights=_at_places(row, sequences, [target.response_weights for target in targets]),
        returns=_at_places(row, sequences, [target.response_returns for target in targets]),
        old_values=_at_places(row, sequences, [target.response_old_values for target in targets]),
    )


def sft_weights(row: Row, targets: list[SFTTarget]) -> Float[Tensor, "tokens"]:
    """The weights of a row's demonstrations at its trained places."""
    return _at_places(row, [target.sequence for target in targets], [target.response_weights for target in targets])


def by_sequence(row: Row, sequences: list[Sequence], at_places: Shaped[Tensor, "tokens"]) -> list[Shaped[Tensor, "response"]]:
    """One tensor a response, on the host, from the values at the row's trained places; the inverse of the functions above."""
    whole = torch.zeros(len(row.labels), dtype=at_places.dtype)
    whole[row.loss_mask.cpu()] = at_places.cpu()
    return [response.clone() for response in take(sequences, whole)]


def on_device(row: Row, device: torch.device, *, with_images: bool) -> Row:
    """The row where the model is; only the stage with the vision tower needs the images."""
    vision, image_features = (row.vision, row.image_features) if with_images else (None, None)
    if vision is not None and image_features is not None:
        vision = Vision(patches=vision.patches.to(device), grid_thw=vision.grid_thw.to(device))
        image_features = image_features.to(device)
    names = ("input_ids", "labels", "position_ids", "loss_mask", "sequence_starts", "borrowed")
    moved = {name: tensor.to(device) for name, tensor in vars(row).items() if name in names}
    return replace(row, **moved, vision=vision, image_features=image_features)


def _segments(row: Row, sequences: list[Sequence]) -> Tensor:
    """Number of its sequence at each of the row's trained places."""
    numbers = [torch.full((sequence.response_length,), number) for number, sequence in enumerate(sequences)]
    return _at_places(row, sequences, numbers).long()


def _all_or_none(row: Row, sequences: list[Sequence], values: list[Tensor | None], *, name: str) -> Tensor | None:
    """`_at_places` of log-probabilities that all sequences have, or none."""
    present = [value for value in values if value is not None]
    if values and not present:
        return None
    if len(present) < len(values):
        raise ValueError(f"{len(present)} of {len(values)} sequences of a row have {name} log-probabilities: give all or none")
    return _at_places(row, sequences, present)


def _at_places(row: Row, sequences: list[Sequence], values: list[Tensor]) -> Tensor:
    """Values of the responses at the row's trained places; entries of places without a target are 0."""
    whole = place(sequences, values, row_length=len(row.labels))
    return whole.to(row.loss_mask.device)[row.loss_mask]
