import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmm_r1_mega.batching.balance import assign_microbatches

BUDGET = 64


def test_the_documented_example():
    assert assign_microbatches([6, 4, 3, 3], [6, 4, 3, 3], budget=8, num_ranks=2) == [[[0], [3]], [[1], [2]]]


def test_no_more_rows_than_needed():
    rows = assign_microbatches([4, 4, 4, 4], [1, 1, 1, 1], budget=16, num_ranks=1)
    assert rows == [[[0, 1, 2, 3]]]


def test_work_is_balanced_by_cost_and_not_by_length():
    ranks = assign_microbatches([4, 4, 4, 4], [8, 1, 2, 7], budget=8, num_ranks=2)
    assert ranks == [[[0, 1]], [[2, 3]]]


@pytest.mark.parametrize("lengths", [[], [5]])
def test_ranks_without_sequences_get_an_empty_row(lengths):
    ranks = assign_microbatches(lengths, lengths, budget=8, num_ranks=3)
    assert [len(rows) for rows in ranks] == [1, 1, 1]
    assert [index for rows in ranks for row in rows for index in row] == list(range(len(lengths)))


def test_a_sequence_beyond_the_budget_names_the_setting():
    with pytest.raises(ValueError, match=r"9 positions and layout.max_tokens_per_microbatch is 8: raise it"):
        assign_microbatches([3, 9], [3, 9], budget=8, num_ranks=2)


def test_where_even_spreading_finds_no_room_the_budget_still_holds():
    lengths, costs = [5, 5, 3, 3, 2, 2], [1, 1, 9, 9, 9, 9]
    ranks = assign_microbatches(lengths, costs, budget=10, num_ranks=1)
    assert len(ranks[0]) == 2
    assert all(sum(lengths[i] for i in row) == 10 for row in ranks[0])


@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    items=st.lists(st.tuples(st.integers(1, BUDGET), st.floats(0, 1e6)), max_size=60),
    num_ranks=st.integers(1, 5),
)
def test_every_sequence_once_equal_rows_budget_kept(items, num_ranks):
    lengths, costs = [length for length, _ in items], [cost for _, cost in items]
    ranks = assign_microbatches(lengths, costs, budget=BUDGET, num_ranks=num_ranks)
    assert len(ranks) == num_ranks
    assert len({len(rows) for rows in ranks}) == 1
    assert sorted(index for rows in ranks for row in rows for index in row) == list(range(len(items)))
    assert all(sum(lengths[index] for index in row) <= BUDGET for rows in ranks for row in rows)
    assert len(ranks[0]) <= 2 * max(1, sum(lengths) / BUDGET / num_ranks) + 1
