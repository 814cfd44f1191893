from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmm_r1_mega.data.stream.order import Order


def visits(order: Order, count: int) -> list[tuple[int, int]]:
    return [order.visit(number) for number in range(count)]


def single(size: int, *, seed: int = 0, shuffle: bool = True) -> Order:
    return Order((size,), weights=(1.0,), seed=seed, shuffle=shuffle)


def test_without_shuffling_rows_come_in_their_order():
    assert visits(single(3, shuffle=False), 7) == [(0, 0), (0, 1), (0, 2), (0, 0), (0, 1), (0, 2), (0, 0)]


def test_every_epoch_has_each_row_once_and_an_order_of_its_own():
    rows = [index for _, index in visits(single(50), 150)]
    epochs = [rows[start : start + 50] for start in (0, 50, 100)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_order_depends_on_the_seed_only():
    assert visits(single(50, seed=1), 100) == visits(single(50, seed=1), 100)
    assert visits(single(50, seed=1), 50) != visits(single(50, seed=2), 50)


def test_files_are_mixed_by_their_weights_and_each_is_gone_through_in_epochs():
    order = Order((10, 7), weights=(3.0, 1.0), seed=0, shuffle=True)
    drawn = visits(order, 10_000)
    shares = Counter(pool for pool, _ in drawn)
    assert abs(shares[0] / 10_000 - 0.75) < 0.02  # four standard deviations
    for pool, size in ((0, 10), (1, 7)):
        rows = [index for found, index in drawn if found == pool]
        assert all(sorted(rows[start : start + size]) == list(range(size)) for start in range(0, len(rows) - size, size))


@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), start=st.integers(0, 20_000), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3))
def test_a_visit_is_the_same_wherever_one_starts(seed, start, sizes):
    def order() -> Order:
        return Order(tuple(sizes), weights=(1.0, 2.0, 3.0)[: len(sizes)], seed=seed, shuffle=True)

    walked = order()
    for number in range(0, start, 997):
        walked.visit(number)
    assert walked.visit(start) == order().visit(start)


@pytest.mark.parametrize(("sizes", "weights"), [((), ()), ((3, 0), (1.0, 1.0)), ((3,), (1.0, 1.0))])
def test_every_pool_needs_a_row_and_a_weight(sizes, weights):
    with pytest.raises(ValueError, match="every pool needs a row and a weight"):
        Order(sizes, weights=weights, seed=0, shuffle=True)
