"""Settings of the rewards: rules, servers, judge, models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, model_validator

from lmm_r1_mega.config.section import NonNegativeInt, PositiveFloat, PositiveInt, Probability, Section
from lmm_r1_mega.process.secret_variables import is_secret


def _server_address(text: str) -> str:
    """An http address without a secret in it."""
    parts = urlsplit(text)
    secret = next((name for name in dict(parse_qsl(parts.query, keep_blank_values=True)) if is_secret(name)), None)
    if parts.username is not None or parts.password is not None or secret:
        raise ValueError(
            f"reward.remote.urls or reward.judge.urls: the address of {parts.hostname} has {secret or 'a user or password'} in it, and "
            f"settings are written to disk: take it out and set LMM_R1_REWARD_TOKEN or LMM_R1_JUDGE_KEY in the environment"
        )
    is_address = parts.scheme in ("http", "https") and parts.hostname and not parts.fragment and not re.search(r"[^!-~]", text)
    if not is_address or parts.port == 0:  # reading the port raises ValueError where it is none
        raise ValueError(
            f"reward.remote.urls or reward.judge.urls: {text!r} is no address: write http://HOST:PORT/PATH or https://HOST/PATH"
        )
    return text


ServerAddress = Annotated[str, AfterValidator(_server_address)]


class RemoteSettings(Section):
    """Reward servers; their token comes from the environment (LMM_R1_REWARD_TOKEN)."""

    urls: tuple[ServerAddress, ...] = ()
    """Equal servers that share the responses and stand in for each other: component `remote`, of weight 1 unless `weights` names it."""
    timeout_s: PositiveFloat = 60
    """Time limit of one request to a server or judge."""
    budget_s: PositiveFloat = 300
    """Time limit of a server's or judge's answers to all responses of a step, retries included; what is missing then is invalid."""


class JudgeSettings(Section):
    """A language model behind an OpenAI-compatible interface that grades responses; its key comes from LMM_R1_JUDGE_KEY."""

    urls: tuple[ServerAddress, ...] = ()
    """Equal endpoints, each up to `/v1`, under the limits of `reward.remote`: component `judge`, of weight 1 unless `weights` names it."""
    model: str = ""
    """The judge's name at its endpoints."""
    prompt: str | None = None
    """What the judge is asked, with places for {prompt}, {response} and {answer}; left out: for a grade from 0 to 1."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> JudgeSettings:
        if self.urls and not self.model:
            raise ValueError("reward.judge.urls is set, but reward.judge.model is empty: give the judge's name at its endpoint")
        if self.prompt is not None and "{response}" not in self.prompt:
            raise ValueError("reward.judge.prompt has no place for the response: write {response} where it shall stand")
        return self


class RewardSettings(Section):
    """Rewards: rules, the user's function, servers, a judge and reward models."""

    weights: dict[str, float] = Field(default={"format": 0.5, "accuracy": 1.0})
    """Named components and their weights in the sum."""
    function: Path | None = None
    """A Python file with `reward_func(queries, prompts, labels)`: component `function`, of weight 1 unless `weights` names it."""
    overlong: tuple[NonNegativeInt, PositiveInt] | None = None
    """Component `overlong` is 0 up to the first number of response tokens and falls to -1 at the second (DAPO's soft buffer)."""
    repetition_ngram: PositiveInt = 3
    """Component `repetition` is minus the share of sequences of this many words that occurred before in the response."""
    max_invalid_share: Probability = 1.0
    """Share of a step's samples that may be invalid, truncated ones not counted; with more the run ends. With all, it ends after two."""
    mask_truncated: bool = False
    """A response that the length limit cut is invalid: counted, in no statistic of rewards, not trained."""
    workers: PositiveInt = 2
    """Processes that score responses."""
    timeout_s: PositiveFloat = 1.0
    """Processor time of one response, for a user's function time by the clock; past it the score is invalid."""
    memory_mib: PositiveInt = 2048
    """Address space of one worker beyond what it has at start."""
    models: dict[str, Path] = Field(default={})
    """Hugging Face folders of reward models by name: components `model/NAME`, of weight 1 unless `weights` names them."""
    normalize: bool = False
    """Reward models' scores less their running mean, divided by their running standard deviation."""
    remote: RemoteSettings = RemoteSettings()
    """Reward servers."""
    judge: JudgeSettings = JudgeSettings()
    """A language model that grades."""

    @model_validator(mode="after")
    def _overlong_has_its_numbers(self) -> RewardSettings:
        if "overlong" in self.weights and self.overlong is None:
            raise ValueError(
                "reward.weights names `overlong`, but reward.overlong is not set: give it two numbers of tokens, as [3072, 4096]"
            )
        if self.overlong and self.overlong[0] >= self.overlong[1]:
            raise ValueError(
                f"reward.overlong {list(self.overlong)} does not rise: the second number of tokens is where the penalty is full"
            )
        return self
