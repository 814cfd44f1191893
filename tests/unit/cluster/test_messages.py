"""What is sent about samples is what arrives."""

import pickle

import pytest
import torch

from lmm_r1_mega.cluster.messages import Completions, MicrobatchSequences, result_column, target_columns, with_sequences
from lmm_r1_mega.schema import Completion, PolicyTarget, Prompt, PromptImages, Sequence, SFTTarget

VISION = PromptImages(torch.zeros(4, 588, dtype=torch.uint8), torch.tensor([[1, 2, 2]]))


def sequence(tokens, prompt, images=None):
    return Sequence(torch.arange(tokens), prompt, images)


ROWS = [[sequence(5, 2, VISION), sequence(4, 2, VISION)], [], [sequence(3, 1)]]


def sent(message):
    return pickle.loads(pickle.dumps(message, protocol=5))


def test_rows_arrive_with_their_images_shared():
    rows = sent(MicrobatchSequences.of(ROWS)).cut()
    assert [[(one.token_ids.tolist(), one.prompt_length) for one in row] for row in rows] == [
        [([0, 1, 2, 3, 4], 2), ([0, 1, 2, 3], 2)],
        [],
        [([0, 1, 2], 1)],
    ]
    assert rows[0][0].images is rows[0][1].images and rows[2][0].images is None
    assert rows[0][0].images.grid_thw.tolist() == [[1, 2, 2]]
    assert MicrobatchSequences.of([]).cut() == []


def policy_target(one, first, old=None):
    numbers = first + torch.arange(float(one.response_length))
    return PolicyTarget(one, numbers, numbers + 10, old, numbers + 20)


def test_targets_find_their_sequences_again():
    targets = [policy_target(one, 100.0 * i) for i, one in enumerate(one for row in ROWS for one in row)]
    rows = with_sequences(PolicyTarget, ROWS, sent(target_columns(targets)))
    assert [len(row) for row in rows] == [2, 0, 1]
    for target, back in zip(targets, [one for row in rows for one in row], strict=True):
        assert back.sequence is target.sequence
        assert back.response_old_logprobs is None and back.response_reference_logprobs is None
        for name in ("response_weights", "response_advantages", "response_rollout_logprobs"):
            assert vars(back)[name].equal(vars(target)[name])
    [[other]] = with_sequences(SFTTarget, [[sequence(3, 1)]], target_columns([SFTTarget(sequence(3, 1), torch.ones(2))]))
    assert other.response_weights.tolist() == [1, 1]


def test_a_rank_without_rows_gets_no_targets():
    assert with_sequences(PolicyTarget, [[], []], target_columns([])) == [[], []]


def test_numbers_that_some_have_are_refused():
    targets = [policy_target(sequence(3, 1), 0.0), policy_target(sequence(3, 1), 0.0, old=torch.zeros(2))]
    with pytest.raises(ValueError, match="1 of 2 targets have response_old_logprobs: give all or none"):
        target_columns(targets)


def test_results_come_in_the_order_of_the_rows():
    column = sent(result_column([[torch.tensor([1.0]), torch.tensor([2.0, 3.0])], [], [torch.tensor([4.0])]]))
    assert [one.tolist() for one in column.cut()] == [[1], [2, 3], [4]]
    assert result_column(None) is None


def test_completions_arrive_with_the_tokens_of_their_prompts():
    prompts = [Prompt(name, "s", "q", (1,), (index, index), None, None) for index, name in enumerate("ab")]
    groups = [
        [
            Completion(prompt.expanded_ids, torch.tensor([5, 6 + i]), torch.tensor([-0.5, -1.0 * i]), f"{prompt.id}{i}", "stop", 3 + i)
            for i in range(2)
        ]
        for prompt in prompts
    ]
    back = sent(Completions.of(groups)).cut(prompts)
    for group, found in zip(groups, back, strict=True):
        for one, other in zip(group, found, strict=True):
            assert other.response_ids.equal(one.response_ids) and other.response_logprobs.equal(one.response_logprobs)
            for name in ("prompt_ids", "text", "finish_reason", "weight_version"):
                assert vars(other)[name] == vars(one)[name]
