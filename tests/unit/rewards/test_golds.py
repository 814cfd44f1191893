"""Files whose gold answers can be judged in part, or not at all."""

import pytest

from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.rewards.golds import scorable_rows
from lmm_r1_mega.rewards.workers.pool import RewardPool


@pytest.fixture(scope="module")
def pool():
    with RewardPool(RewardSettings(workers=1)) as opened:
        yield opened


def test_the_first_rows_that_can_be_judged(pool, monkeypatch):
    monkeypatch.setattr("lmm_r1_mega.rewards.golds.AT_A_TIME", 2)
    assert scorable_rows(pool, ["see figure", None, "3", "4", "5"], source="f", count=2) == [2, 3]
    assert scorable_rows(pool, [None, "3"], source="f", count=2) == [1]


def test_a_file_without_one_is_refused_with_the_reasons(pool):
    with pytest.raises(
        BadData, match=r"data.train: none of 3 gold answers can be scored by format, accuracy \(2 x unparsable .*, 1 x missing"
    ):
        scorable_rows(pool, ["see figure", "see the figure", None], source="data.train")


def test_rewards_that_compare_with_nothing_take_any_row():
    with RewardPool(RewardSettings(weights={"format": 1.0}, workers=1)) as opened:
        assert scorable_rows(opened, [None], source="f") == [0]
