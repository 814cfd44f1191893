"""Sequences to micro-batches and back: the only module where labels are shifted against inputs.

A sequence of n tokens takes n - 1 positions of a micro-batch. Position t has token t as input and token t + 1 as label, so the response,
tokens p..n-1 after a prompt of p, belongs to the positions p-1..n-2: its first token is predicted from the prompt's last. A sequence
that borrows its prompt from a neighbor (`batching.sharing`) has the positions p-1..n-2 alone.
"""

from __future__ import annotations

from itertools import accumulate

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from lmm_r1_mega.batching.rope import mrope_positions
from lmm_r1_mega.batching.sharing import lenders, num_new_tokens
from lmm_r1_mega.data.chat.vision_spec import VisionSpec
from lmm_r1_mega.data.images.patches import join_images
from lmm_r1_mega.schema import PackedBatch, PromptImages, Sequence


def pack(sequences: list[Sequence], *, spec: VisionSpec | None, multiple_of: int = 1) -> PackedBatch:
    """Put sequences end to end into one micro-batch whose length is a multiple of `multiple_of`.

    `spec` is None for a model that sees no images. Padding at the end is a masked sequence of its own; a micro-batch of no sequences
    is such a sequence alone.

    Raises: ValueError if the image tokens of a sequence do not match its grids.
    """
    lengths = num_new_tokens(sequences)
    filling = max(-sum(lengths) % multiple_of, 0 if sequences else multiple_of)
    masks = [torch.arange(-length, 0) >= -sequence.response_length for length, sequence in zip(lengths, sequences, strict=True)]
    blank = torch.full((filling,), spec.fill_token_id if spec else 0)
    pieces = [*lengths, filling] if filling else lengths
    ids = torch.cat([*(_last(sequence.token_ids[:-1], length) for sequence, length in zip(sequences, lengths, strict=True)), blank])
    positions = [_last(_positions(sequence, spec), length) for sequence, length in zip(sequences, lengths, strict=True)]
    image_sets = [sequence.images for sequence in sequences if sequence.images is not None]
    distinct = list({id(images): images for images in image_sets}.values())
    return PackedBatch(
        input_ids=ids,
        labels=torch.cat([*(_last(sequence.token_ids, length) for sequence, length in zip(sequences, lengths, strict=True)), blank]),
        position_ids=torch.cat([*positions, torch.arange(filling).expand(3 if spec else 1, -1)], dim=1),
        loss_mask=torch.cat([*masks, torch.zeros(filling, dtype=torch.bool)]),
        sequence_starts=torch.tensor([0, *accumulate(pieces)], dtype=torch.int32),
        borrowed=_borrowed(sequences, lengths, num_pieces=len(pieces)),
        images=join_images(distinct),
        image_features=_image_features(sequences, lengths, distinct, spec) if spec and image_sets else None,
    )


def scatter_responses(
    sequences: list[Sequence],
    values: list[Shaped[Tensor, "response"]],
    *,
    batch_length: int,
) -> Shaped[Tensor, "tokens"]:
    """Put one tensor per response at the positions that predict it, in a batch of `batch_length` = `len(batch.labels)`; 0 elsewhere.

    Example: prompts of 2 and 1 tokens with the responses [a, b] and [c], batch_length 5 -> [0, a, b, c, 0]

    Raises: ValueError if a tensor is not as long as its response.
    """
    dtype = values[0].dtype if values else torch.float32
    device = values[0].device if values else None
    microbatch = torch.zeros(batch_length, dtype=dtype, device=device)
    for sequence, value, part in zip(sequences, values, _response_slices(sequences, batch_length), strict=True):
        if len(value) != sequence.response_length:
            raise ValueError(f"{len(value)} values for a response of {sequence.response_length} tokens: give one a token")
        microbatch[part] = value
    return microbatch


def gather_responses(sequences: list[Sequence], per_token: Shaped[Tensor, "tokens"]) -> list[Shaped[Tensor, "response"]]:
    """Read each response's entries out of a microbatch's tensor; the inverse of `scatter_responses`."""
    return [per_token[part] for part in _response_slices(sequences, len(per_token))]


def _response_slices(sequences: list[Sequence], batch_length: int) -> list[slice]:
    """Places of each response in the micro-batch."""
    ends = list(accumulate(num_new_tokens(sequences)))
    if ends and ends[-1] > batch_length:
        raise ValueError(
            f"{ends[-1]} positions do not fit into a microbatch of {batch_length}: these are not the sequences of that microbatch"
        )
    return [slice(end - sequence.response_length, end) for end, sequence in zip(ends, sequences, strict=True)]


def _last(per_token: Shaped[Tensor, "*microbatches tokens"], count: int) -> Shaped[Tensor, "*microbatches count"]:
    return per_token[..., per_token.shape[-1] - count :]


def _borrowed(sequences: list[Sequence], lengths: list[int], *, num_pieces: int) -> Int[Tensor, "sequences 2"]:
    starts, borrowed = [0, *accumulate(lengths)], torch.zeros(num_pieces, 2, dtype=torch.long)
    for index, lender in enumerate(lenders(sequences)):
        if lender != index:
            borrowed[index] = torch.tensor([starts[lender], sequences[index].prompt_length - 1])
    return borrowed


def _image_features(
    sequences: list[Sequence], lengths: list[int], distinct: list[PromptImages], spec: VisionSpec
) -> Int[Tensor, "image_tokens"]:
    """Features of `distinct` image_sets, counted end to end, in the order in which the positions of the sequences take them.

    Example: two sequences of unlike prompts share an images of 2 merged patches, a third has its own of 1 -> [0, 1, 0, 1, 2]
    """
    counts = {id(images): sum(spec.num_tokens(images.grid_thw)) for images in distinct}
    starts = dict(zip(counts, accumulate(counts.values(), initial=0), strict=False))
    taken = []
    for sequence, length in zip(sequences, lengths, strict=True):
        if sequence.images is not None:
            key, placed = id(sequence.images), int((_last(sequence.token_ids[:-1], length) == spec.image_token_id).sum())
            taken.append(_last(torch.arange(counts[key]) + starts[key], placed))
    return torch.cat(taken)


def _positions(sequence: Sequence, spec: VisionSpec | None) -> Int[Tensor, "axes tokens"]:
    """Three axes for a model with images, one for a model of text."""
    if spec is None:
        return torch.arange(len(sequence.token_ids) - 1)[None]
    grids = None if sequence.images is None else sequence.images.grid_thw
    return mrope_positions(sequence.token_ids[:-1], grids, spec)
