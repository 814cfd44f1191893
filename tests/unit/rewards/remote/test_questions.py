"""The server's half of the protocol: telling responses from queries, and what goes back."""

import json

import pytest

from lmm_r1_mega.rewards.messages import RewardInput
from lmm_r1_mega.rewards.remote.questions import BadQuestion, answer_of, read_question, response_of
from lmm_r1_mega.schema import Score

CHAT = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "an example"}, {"role": "user", "content": "1+1?"}]
TURN = "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("query", "prompt", "response"),
    [
        ("Q: 1+1? A: 2", "Q: 1+1? A: ", "2"),
        ("Q: 1+1? A: 2<|im_end|>", "Q: 1+1? A: ", "2"),
        (TURN + "<answer>2</answer><|im_end|>\n<|endoftext|><|endoftext|>", TURN, "<answer>2</answer>"),
        ("Q: A: <|im_end|> is no end here", "Q: A: ", "<|im_end|> is no end here"),
        ("Q: ", "Q: ", ""),
        # as LMM-R1's clients send it: padded on the left, image tokens expanded, the prompt as chat turns
        ("<|endoftext|><|endoftext|>" + TURN + "2<|im_end|>", TURN, "2"),
        (TURN.replace("1+1?", "<|image_pad|>" * 64) + "2<|im_end|>", TURN.replace("1+1?", "<|image_pad|>"), "2"),
        (TURN + "2<|im_end|>", [{"role": "user", "content": "1+1?"}], "2"),
        (TURN + "2<|im_end|>", None, "2"),
        (TURN + "an example<|im_end|>\n" + TURN + "2<|im_end|>", CHAT, "2"),
        ("<|endoftext|>" + TURN + "an example<|im_end|>\n" + TURN + "2<|im_end|>", json.dumps(CHAT), "2"),
        ("<|endoftext|>" + TURN + "an example<|im_end|>\n" + TURN + "2<|im_end|>", TURN + "an example<|im_end|>\n" + TURN, "2"),
        (TURN + "2<|im_end|>", CHAT, None),
        (TURN + "2<|im_end|>", "[" * 100_000, "2"),
        # a turn that the policy opens itself hides nothing of what it wrote before
        (TURN + "no<|im_end|>\n<|im_start|>assistant\n2<|im_end|>", CHAT[:1], "no<|im_end|>\n<|im_start|>assistant\n2"),
        (TURN + "no<|im_end|>\n<|im_start|>assistant\n2<|im_end|>", "", "no<|im_end|>\n<|im_start|>assistant\n2"),
        ("2", "Q: 1+1? A: ", None),
        ("Q: 1+1? A: 2", "", None),
    ],
)
def test_what_is_the_response(query, prompt, response):
    assert response_of(query, prompt) == response


def test_another_template_has_another_opening():
    assert response_of("<|user|>1+1?<|end|><|assistant|>2<|end|>", ["1+1?"], opening="<|assistant|>") == "2"


def test_columns_become_inputs():
    asked = {"query": ["p r", "x"], "prompts": ["p ", "q"], "labels": [3, None], "unknown": 1}
    assert read_question(json.dumps(asked).encode()) == [RewardInput("r", 3, "p "), None]
    assert read_question(json.dumps({"query": [TURN + "r"], "labels": None}).encode()) == [RewardInput("r", None, "")]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "no list `query`"),
        (b'{"query": "a"}', "no list `query`"),
        (b'{"query": [1]}', "something else than text"),
        (b'{"query": ["a", "b"], "prompts": ["a"]}', "`prompts` is no list of as many entries as `query`, which has 2"),
        (b'{"query": ["a"], "labels": "3"}', "`labels` is no list"),
        (b'{"query": ["a"], "labels": [[3]]}', "`labels` holds something else"),
    ],
)
def test_what_is_wrong_is_named(body, message):
    with pytest.raises(BadQuestion, match=message):
        read_question(body)


def test_the_answer_has_every_part_and_names_what_is_invalid():
    scores = [Score(1.5, {"format": 1.0, "accuracy": 1.0}), Score(None, {"format": 0.0}, "timeout")]
    assert answer_of(scores) == {"rewards": [1.5, 0.0], "invalid": [None, "timeout"], "format": [1.0, 0.0], "accuracy": [1.0, None]}
    assert answer_of([]) == {"rewards": [], "invalid": []}
