"""The judge's questions and the reading of its replies."""

import logging

import pytest
from loopback import loopback, loopbacks, send, with_enough_time

from lmm_r1_mega.config import JudgeSettings, RemoteSettings
from lmm_r1_mega.rewards.messages import PartialReward, RewardInput
from lmm_r1_mega.rewards.remote.llm_judge import QUESTION, LlmJudge, fill_in, score_of


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("Right.\nScore: 1", 1.0),
        ("Nearly.\n**Score: 0.5**", 0.5),
        ("score:.25\n", 0.25),
        ("Score: **0.75**.\nThat is all.", 0.75),
        ("Score: -2e-1", -0.2),
        ("Score: 1\nno, on second thought\nScore: 0", 0.0),
        ("`Score: 3`", 3.0),
        ("Score: 8/10", None),
        ("Score: eight", None),
        ("The score: 1 would be too much", None),
        ("Score: 1e999", None),
        ("Score: nan", None),
        ("1", None),
        ("", None),
    ],
)
def test_the_last_line_with_a_score_counts(reply, score):
    assert score_of(reply) == score


def test_texts_that_look_like_places_are_left_as_they_are():
    given = RewardInput("r {answer} {prompt}", 4, "p {response}")
    assert fill_in("{prompt}|{response}|{answer}|{other}{}", given) == "p {response}|r {answer} {prompt}|4|{other}{}"
    question = fill_in(QUESTION, given)
    assert all(f"\n{text}\n" in question for text in ("r {answer} {prompt}", "4", "p {response}"))
    assert fill_in("<{answer}>{response}", RewardInput("r", None)) == "<>r"


def reply(text):
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


NEVER_S = 500.0
"""A limit that no test comes near, however slow the machine."""


def judge(servers, budget_s=NEVER_S) -> LlmJudge:
    settings = JudgeSettings(urls=tuple(f"{server.url}/v1/" for server in servers), model="m", prompt="Q {prompt} R {response} A {answer}")
    return LlmJudge(settings, RemoteSettings(timeout_s=NEVER_S, budget_s=budget_s))


def by_response(handler, body, number):
    """The score that the response itself names, where it names one."""
    words = body["messages"][0]["content"].split()
    send(handler, reply(f"so be it\nScore: {words[3]}"))


INPUTS = [RewardInput(str(i / 64) if i % 5 else "none", i, f"p{i}") for i in range(60)]


def test_every_response_is_asked_about_and_gets_its_own_score(monkeypatch):
    monkeypatch.setenv("LMM_R1_JUDGE_KEY", "k3y")
    with loopbacks(by_response, by_response) as servers:
        found = judge(servers).partial_rewards(INPUTS)
    unscored = PartialReward({}, "judge: no score in the reply")
    assert found == [PartialReward({"judge": i / 64}) if i % 5 else unscored for i in range(60)]
    assert len(servers[0].bodies) + len(servers[1].bodies) == 60, "a reply without a score is not asked for again"
    assert servers[0].headers[0]["Authorization"] == "Bearer k3y"
    assert servers[0].bodies[0].keys() == {"model", "messages", "temperature"} and servers[0].bodies[0]["model"] == "m"


@pytest.mark.parametrize(("score", "reward"), [("0", 0.0), ("1", 1.0), ("85", None), ("-1", None)])
def test_our_own_question_is_answered_from_0_to_1(score, reward):
    with loopback(lambda handler, body, number: send(handler, reply(f"Score: {score}"))) as server:
        [found] = LlmJudge(JudgeSettings(urls=(server.url,), model="m"), RemoteSettings()).partial_rewards(INPUTS[:1])
    assert found == (PartialReward({}, "judge: score is not between 0 and 1") if reward is None else PartialReward({"judge": reward}))


def test_the_endpoint_is_below_the_base(caplog):
    paths = []

    def record(handler, body, number):
        paths.append(handler.path)
        send(handler, reply("Score: 1"))

    with loopback(record) as server:
        judge([server]).partial_rewards(INPUTS[:1])
    assert paths == ["/get_reward/v1/chat/completions"]


@pytest.mark.parametrize("content", [{"choices": []}, {"error": "x"}, [], reply(None), reply(["Score: 1"])])
def test_an_answer_without_a_message_is_asked_for_again(content):
    with loopback(lambda handler, body, number: send(handler, reply("Score: 1") if number else content)) as server:
        assert judge([server]).partial_rewards(INPUTS[:1]) == [PartialReward({"judge": 1.0})]
        assert len(server.bodies) == 2


def test_where_no_answer_has_a_message_the_sample_is_invalid(caplog):
    with loopback(lambda handler, body, number: send(handler, {"choices": []})) as server, caplog.at_level(logging.WARNING):
        found = with_enough_time(lambda budget_s: judge([server], budget_s).partial_rewards(INPUTS[:1]))
        assert found == [PartialReward({}, "judge: no message in the answer")]


def test_one_endpoint_stands_in_for_another():
    with loopbacks(lambda handler, body, number: send(handler, {}, status=500), by_response) as servers:
        found = judge(servers).partial_rewards(INPUTS)
    assert [one.parts.get("judge") for one in found] == [i / 64 if i % 5 else None for i in range(60)]
