"""Neighbors in a micro-batch that share the tokens of their prompt.

The samples of a prompt differ in their responses only, so a micro-batch computes the prompt once: the first sample has all of its
tokens, each later one adds its response alone, and attends to the first one's prompt as if it were its own. Values and gradients are
those of whole sequences; the linear layers, which are most of the work, see the prompt once.
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from itertools import groupby

import torch

from lmm_r1_mega.schema import Sequence

BUNDLES_PER_RANK = 4
"""Pieces of work that a data rank gets at least, where there are so many sequences: fewer would balance badly."""


def num_positions(sequence: Sequence) -> int:
    """Positions that a sequence takes by itself.

    Raises: ValueError where there is nothing to predict, or nothing to predict it from.
    """
    tokens, prompt = len(sequence.token_ids), sequence.prompt_length
    if tokens < 2 or not 1 <= prompt <= tokens:
        raise ValueError(
            f"a sequence of {tokens} tokens with a prompt of {prompt} cannot be packed: it needs a prompt and 2 tokens at least"
        )
    return tokens - 1


def have_one_prompt(one: Sequence, other: Sequence) -> bool:
    """Whether two sequences begin with the same prompt: the same tokens and the very same images."""
    if one.prompt_length != other.prompt_length or one.images is not other.images:
        return False
    return torch.equal(one.token_ids[: one.prompt_length], other.token_ids[: other.prompt_length])


def lenders(sequences: Items[Sequence]) -> list[int]:
    """For each sequence of a microbatch the index of the one whose prompt it uses: the first of its prompt's neighbors, perhaps itself.

    Example: prompts a, a, b, a -> [0, 0, 2, 3]
    """
    found: list[int] = []
    for index, sequence in enumerate(sequences):
        found.append(found[-1] if found and have_one_prompt(sequences[found[-1]], sequence) else index)
    return found


def num_new_tokens(sequences: Items[Sequence]) -> list[int]:
    """Positions of each sequence of a microbatch; one that borrows its prompt has its response's alone.

    Example: prompts of 3 tokens a, a with responses of 2 and 4 -> [4, 4]
    """
    pairs = enumerate(lenders(sequences))
    return [num_positions(sequences[i]) if i == lender else sequences[i].response_length for i, lender in pairs]


def bundle(sequences: Items[Sequence], *, budget: int, num_ranks: int) -> list[list[int]]:
    """Indices of neighbors that go into the same microbatch: samples of one prompt, as many as fit into `budget` positions.

    A prompt's samples are cut into more bundles where there are too few for `num_ranks` ranks to share evenly.

    Example: prompts a, a, a, b and 1 rank -> [[0], [1], [2], [3]]; of 16 prompts with 8 samples each and 1 rank -> 16 bundles of 8
    """
    largest = max(1, len(sequences) // (BUNDLES_PER_RANK * num_ranks))
    bundles: list[list[int]] = []
    for _, group in groupby(enumerate(lenders(sequences)), key=lambda pair: pair[1]):
        room, members = 0, 0
        for index, _ in group:
            sequence = sequences[index]
            if members in (0, largest) or sequence.response_length > room:
                bundles.append([])
                room, members = budget - num_positions(sequence), 0
            else:
                room -= sequence.response_length
            bundles[-1].append(index)
            members += 1
    return bundles
