import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmm_r1_mega.batching.packing import gather_responses, pack, scatter_responses
from lmm_r1_mega.data.chat.vision_spec import VisionSpec
from lmm_r1_mega.schema import PromptImages, Sequence

IMAGE, START, END = 90, 91, 92
SPEC = VisionSpec(image_token_id=IMAGE, video_token_id=93, vision_start_token_id=START, vision_end_token_id=END, merge_size=2)


def text(ids: list[int], prompt_length: int) -> Sequence:
    return Sequence(token_ids=torch.tensor(ids), prompt_length=prompt_length, images=None)


def with_image(before: list[int], grid: list[int], after: list[int], prompt_length: int) -> Sequence:
    patches = grid[0] * grid[1] * grid[2]
    images = PromptImages(patches=torch.arange(patches * 3, dtype=torch.uint8).reshape(patches, 3), grid_thw=torch.tensor([grid]))
    ids = [*before, START, *[IMAGE] * (patches // 4), END, *after]
    return Sequence(token_ids=torch.tensor(ids), prompt_length=prompt_length, images=images)


def test_two_texts_worked_by_hand():
    row = pack([text([1, 2, 3, 4], 2), text([5, 6, 7], 1)], spec=SPEC, multiple_of=4)
    assert row.input_ids.tolist() == [1, 2, 3, 5, 6, 0, 0, 0]
    assert row.labels.tolist() == [2, 3, 4, 6, 7, 0, 0, 0]
    assert row.loss_mask.tolist() == [False, True, True, True, True, False, False, False]
    assert row.position_ids.tolist() == [[0, 1, 2, 0, 1, 0, 1, 2]] * 3
    assert row.sequence_starts.tolist() == [0, 3, 5, 8]
    assert row.sequence_starts.dtype == torch.int32
    assert row.images is None


def test_an_image_between_texts_worked_by_hand():
    image = with_image([1], [1, 4, 4], [8, 9], prompt_length=8)
    row = pack([text([1, 2], 1), image], spec=SPEC)
    assert row.input_ids.tolist() == [1, 1, START, IMAGE, IMAGE, IMAGE, IMAGE, END, 8]
    assert row.labels.tolist() == [2, START, IMAGE, IMAGE, IMAGE, IMAGE, END, 8, 9]
    assert row.loss_mask.tolist() == [True] + [False] * 7 + [True]
    assert row.position_ids.tolist() == [
        [0, 0, 1, 2, 2, 2, 2, 4, 5],
        [0, 0, 1, 2, 2, 3, 3, 4, 5],
        [0, 0, 1, 2, 3, 2, 3, 4, 5],
    ]
    assert row.sequence_starts.tolist() == [0, 1, 9]
    assert torch.equal(row.images.patches, image.images.patches)
    assert row.images.grid_thw.tolist() == [[1, 4, 4]]


def test_images_of_all_sequences_in_the_order_of_their_tokens():
    first, second = with_image([1], [1, 2, 4], [8, 9], 6), with_image([], [1, 4, 2], [7, 6], 5)
    row = pack([first, text([1, 2], 1), second], spec=SPEC)
    assert row.images.grid_thw.tolist() == [[1, 2, 4], [1, 4, 2]]
    assert torch.equal(row.images.patches, torch.cat([first.images.patches, second.images.patches]))


def test_sequences_that_share_an_image_share_its_features():
    first, other = with_image([1], [1, 2, 4], [8, 9], 6), with_image([], [1, 2, 2], [7, 6], 4)
    again = Sequence(token_ids=first.token_ids, prompt_length=6, images=first.images)
    row = pack([first, other, again], spec=SPEC)
    assert row.images.grid_thw.tolist() == [[1, 2, 4], [1, 2, 2]]
    assert row.image_features.tolist() == [0, 1, 2, 0, 1]


def test_samples_of_a_prompt_share_its_places():
    sequences = [text([1, 2, 3, 4, 5], 3), text([1, 2, 3, 6], 3), text([1, 2, 7, 8], 3), text([1, 2, 3, 4, 4], 3)]
    row = pack(sequences, spec=SPEC, multiple_of=2)
    assert row.input_ids.tolist() == [1, 2, 3, 4, 3, 1, 2, 7, 1, 2, 3, 4]
    assert row.labels.tolist() == [2, 3, 4, 5, 6, 2, 7, 8, 2, 3, 4, 4]
    assert row.loss_mask.int().tolist() == [0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 1, 1]
    assert row.position_ids[0].tolist() == [0, 1, 2, 3, 2, 0, 1, 2, 0, 1, 2, 3]
    assert row.sequence_starts.tolist() == [0, 4, 5, 8, 12]
    assert row.borrowed.tolist() == [[0, 0], [0, 2], [0, 0], [0, 0]]
    assert [part.tolist() for part in gather_responses(sequences, row.labels)] == [[4, 5], [6], [8], [4, 4]]


def test_a_prompt_is_borrowed_from_where_its_lender_lies():
    """Places 0-2 are of another sequence; the lender has 3-6, the borrower attends to the 3 of its prompt that have a successor."""
    row = pack([text([9, 9, 9, 9], 1), text([1, 2, 3, 4, 5], 4), text([1, 2, 3, 4, 6, 7], 4)], spec=SPEC)
    assert row.input_ids.tolist() == [9, 9, 9, 1, 2, 3, 4, 4, 6]
    assert row.borrowed.tolist() == [[0, 0], [0, 0], [3, 3]]


def test_a_shared_prompt_has_its_image_once():
    first = with_image([1], [1, 4, 4], [8, 9], prompt_length=8)
    again = Sequence(torch.tensor([*first.token_ids[:8].tolist(), 10, 11]), 8, first.images)
    row = pack([first, again], spec=SPEC)
    assert row.input_ids.tolist() == [1, START, IMAGE, IMAGE, IMAGE, IMAGE, END, 8, 8, 10]
    assert row.position_ids[:, -3:].tolist() == [[5, 5, 6]] * 3
    assert row.image_features.tolist() == [0, 1, 2, 3]
    assert row.borrowed.tolist() == [[0, 0], [0, 7]]


def test_a_prompt_that_ends_in_its_image_takes_the_last_feature_again():
    first = with_image([1], [1, 4, 4], [8, 9], prompt_length=6)
    again = Sequence(torch.tensor([*first.token_ids[:6].tolist(), 10]), 6, first.images)
    row = pack([first, again], spec=SPEC)
    assert row.input_ids.tolist()[-1] == IMAGE
    assert row.image_features.tolist() == [0, 1, 2, 3, 3]


def test_like_prompts_with_images_of_their_own_share_nothing():
    sequences = [with_image([1], [1, 2, 2], [8, 9], 5) for _ in range(2)]
    assert not pack(sequences, spec=SPEC).borrowed.any()


def test_no_sequences_make_a_masked_row():
    row = pack([], spec=SPEC, multiple_of=4)
    assert row.input_ids.tolist() == [0, 0, 0, 0]
    assert not row.loss_mask.any()
    assert row.sequence_starts.tolist() == [0, 4]
    assert scatter_responses([], [], batch_length=4).tolist() == [0, 0, 0, 0]
    assert gather_responses([], torch.arange(4)) == []


def test_filling_is_never_an_image_token():
    spec = VisionSpec(image_token_id=0, video_token_id=4, vision_start_token_id=1, vision_end_token_id=2, merge_size=2)
    assert pack([], spec=spec, multiple_of=2).input_ids.tolist() == [1, 1]


def test_values_lie_where_the_labels_are_the_response():
    sequences = [text([1, 2, 3, 4], 2), text([5, 6, 7], 1)]
    row = pack(sequences, spec=SPEC, multiple_of=4)
    assert [part.tolist() for part in gather_responses(sequences, row.labels)] == [[3, 4], [6, 7]]
    assert scatter_responses(sequences, [torch.tensor([0.5, 1.5]), torch.tensor([2.5, 3.5])], batch_length=8).tolist() == [
        0,
        0.5,
        1.5,
        2.5,
        3.5,
        0,
        0,
        0,
    ]


@pytest.mark.parametrize(("ids", "prompt_length"), [([1], 1), ([1, 2], 0), ([1, 2], 3), ([], 0)])
def test_sequences_without_a_prompt_or_a_place_are_refused(ids, prompt_length):
    with pytest.raises(ValueError, match="cannot be packed"):
        pack([text(ids, prompt_length)], spec=SPEC)


def test_a_prompt_cut_inside_its_image_is_refused():
    whole = with_image([1], [1, 4, 4], [8, 9], 8)
    cut = Sequence(token_ids=whole.token_ids[:5], prompt_length=4, images=whole.images)
    with pytest.raises(ValueError, match=r"2 image tokens for grids \[\[1, 4, 4\]\], which take 4"):
        pack([cut], spec=SPEC)


def test_values_of_the_wrong_length_are_refused():
    with pytest.raises(ValueError, match="3 values for a response of 2 tokens"):
        scatter_responses([text([1, 2, 3], 1)], [torch.zeros(3)], batch_length=2)
    with pytest.raises(ValueError, match="2 positions do not fit into a microbatch of 1"):
        gather_responses([text([1, 2, 3], 1)], torch.zeros(1))


SEQUENCES = st.lists(
    st.tuples(st.lists(st.integers(1, 3), min_size=2, max_size=12), st.floats(0, 1)).map(
        lambda drawn: text(drawn[0], 1 + int(drawn[1] * (len(drawn[0]) - 1)))
    ),
    max_size=6,
)


@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(sequences=SEQUENCES, multiple_of=st.integers(1, 8))
def test_take_is_the_inverse_of_place_and_labels_are_the_responses(sequences, multiple_of):
    row = pack(sequences, spec=SPEC, multiple_of=multiple_of)
    length = len(row.labels)
    assert length % multiple_of == 0 and length > 0
    assert row.sequence_starts[-1] == length == len(row.input_ids) == row.position_ids.shape[1]
    responses = [sequence.token_ids[sequence.prompt_length :] for sequence in sequences]
    assert all(torch.equal(a, b) for a, b in zip(gather_responses(sequences, row.labels), responses, strict=True))
    assert torch.equal(scatter_responses(sequences, responses, batch_length=length), row.labels * row.loss_mask)
    assert int(row.loss_mask.sum()) == sum(len(response) for response in responses)
