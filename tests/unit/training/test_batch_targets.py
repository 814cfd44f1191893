"""Targets at the loss positions of a row, and the way back."""

import torch

from lmm_r1_mega.batching.packing import pack
from lmm_r1_mega.data.chat.vision_spec import VisionSpec
from lmm_r1_mega.schema import PolicyTarget, Sequence
from lmm_r1_mega.training.batch_targets import by_sequence, policy_tokens

SPEC = VisionSpec(image_token_id=90, video_token_id=93, vision_start_token_id=91, vision_end_token_id=92, merge_size=2)


def target(tokens: int, prompt: int, first: float) -> PolicyTarget:
    sequence = Sequence(torch.arange(tokens), prompt, None)
    numbers = first + torch.arange(float(sequence.response_length))
    return PolicyTarget(sequence, numbers, numbers + 10, None, numbers + 20)


def test_targets_lie_end_to_end_with_the_number_of_their_response() -> None:
    targets = [target(4, 2, 1.0), target(2, 1, 5.0), target(5, 2, 7.0)]
    row = pack([one.sequence for one in targets], spec=SPEC, multiple_of=16)
    tokens = policy_tokens(row, targets)
    assert tokens.segments.tolist() == [0, 0, 1, 2, 2, 2]
    assert tokens.weights.tolist() == [1, 2, 5, 7, 8, 9]
    assert tokens.rollout_logprobs.tolist() == [21, 22, 25, 27, 28, 29]
    back = by_sequence(row, [one.sequence for one in targets], tokens.advantages)
    assert [part.tolist() for part in back] == [[11, 12], [15], [17, 18, 19]]


def test_a_row_without_a_target_has_no_tokens() -> None:
    tokens = policy_tokens(pack([], spec=SPEC, multiple_of=8), [])
    assert tokens.segments.tolist() == [] and tokens.segments.dtype == torch.int64
