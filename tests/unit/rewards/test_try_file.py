"""`reward try` over a file of responses."""

import json

import pytest

from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.rewards.answers.explain import why_not_equal
from lmm_r1_mega.rewards.try_file import try_file

RIGHT = r"<think> 1 + 2 </think> <answer> $\boxed{3}$ </answer>"


def test_a_line_out_for_a_line_in(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [
        {"response": RIGHT, "answer": "3"},
        {"response": RIGHT, "answer": 4},
        {"response": RIGHT, "answer": None},
        {"response": "", "answer": "3"},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    assert list(try_file(path, RewardSettings())) == [
        {"reward": 1.5, "parts": {"format": 1.0, "accuracy": 1.0}, "invalid": None},
        {
            "reward": 0.5,
            "parts": {"format": 1.0, "accuracy": 0.0},
            "invalid": None,
            "why": "`3` is read as number, the gold answer `4` as number",
        },
        {"reward": None, "parts": {"format": 1.0}, "invalid": "missing gold answer"},
        {"reward": 0.0, "parts": {"format": 0.0, "accuracy": 0.0}, "invalid": None, "why": "no answer block after the reasoning"},
    ]


@pytest.mark.parametrize(
    ("gold", "answer", "why"),
    [
        ("5", "not $5$", "`not $5$` is read as words, the gold answer `5` as number"),
        (
            "3 m",
            "3 m^2",
            "`3 m^2` is read as number with a unit, the gold answer `3 m` as number with a unit: they measure different things",
        ),
        (4, "3:4", "`3:4` is read as ratio, the gold answer `4` as number"),
        ("4", r"\boxed{4", "the last box is empty or never closes"),
        ("4", "", "the answer is empty"),
    ],
)
def test_why_an_answer_is_not_the_gold_answer(gold, answer, why):
    assert why_not_equal(gold, f"<think> hm </think><answer> {answer} </answer>", asks_for_block=True) == why


def test_rows_of_a_runs_rollouts_are_read_with_their_length(tmp_path):
    path = tmp_path / "rollouts.jsonl"
    row = {"step": 1, "response": "<answer> [1, 2, 3, 4] </answer>", "answer": [[1, 2, 3, 4]], "num_tokens": 15, "finish_reason": "length"}
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "finish_reason": "stop"}))
    settings = RewardSettings(weights={"iou": 1.0, "overlong": 1.0}, overlong=(10, 20), mask_truncated=True)
    parts = {"iou": 1.0, "overlong": -0.5}
    assert list(try_file(path, settings)) == [
        {"reward": None, "parts": parts, "invalid": "truncated"},
        {"reward": 0.5, "parts": parts, "invalid": None},
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"response": "a"}\n{"answer": 3}', r"rows\.jsonl:2 has no text `response`"),
        ("{", r"rows\.jsonl:1 is not JSON"),
        ("[1]", r"rows\.jsonl:1 has no text"),
        ("\n \n", r"rows\.jsonl has no rows"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path, text, message):
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(BadData, match=message):
        list(try_file(path, RewardSettings()))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.jsonl cannot be opened"):
        list(try_file(tmp_path / "absent.jsonl", RewardSettings()))
