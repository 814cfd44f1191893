"""How responses are drawn: settings of one call, random seeds, and the tokens that may not be drawn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from lmm_r1_mega.config import RolloutSettings

_VISION_KEYS = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id", "vision_token_id")


@dataclass(frozen=True)
class Sampling:
    """Settings of one call of `RolloutEngine.generate`."""

    max_response_tokens: int
    temperature: float = 1.0
    """0 is greedy; log-probabilities are then those at temperature 1."""
    top_p: float = 1.0
    top_k: int = -1
    stop: tuple[str, ...] = ()
    """Strings that end a response; they stay in it."""
    ignore_eos: bool = False
    """Go on to `max_response_tokens` after an end-of-turn token, for benchmarks of fixed length."""

    def __post_init__(self) -> None:
        if self.max_response_tokens < 1:
            raise ValueError(f"sampling.max_response_tokens is {self.max_response_tokens}: give at least 1")
        if self.temperature < 0:
            raise ValueError(f"sampling.temperature is {self.temperature}: give 0 (greedy) or more")

    @classmethod
    def of(cls, settings: RolloutSettings) -> Sampling:
        """The settings of training."""
        return cls(
            max_response_tokens=settings.max_response_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            stop=settings.stop,
        )


def request_seed(seed: int, prompt_id: str) -> int:
    """Seed of the first sample of a prompt, below 2^62; sample i takes the next i-th integer.

    It depends on nothing else, so the samples of a prompt are the same on whichever engine they are drawn.
    """
    return xxhash.xxh3_64_intdigest(f"{seed}\0{prompt_id}".encode()) >> 2


def forbidden_token_ids(model_path: Path) -> tuple[int, ...]:
    """Ids that a response never holds: vision tokens of the config and special tokens of the tokenizer, save those that end a turn.

    The policy's distribution over the other tokens is renormalised, in vLLM's log-probabilities too.
    """
    config = _read_json(model_path / "config.json")
    forbidden = {config[key] for key in _VISION_KEYS if key in config} | _special_ids(model_path)
    return tuple(sorted(forbidden - end_token_ids(model_path)))


def end_token_ids(model_path: Path) -> frozenset[int]:
    """Ids that end a response: `eos_token_id` of generation_config.json, else of config.json."""
    generation = model_path / "generation_config.json"
    config = _read_json(model_path / "config.json")
    sources = (_read_json(generation) if generation.exists() else {}, config, config.get("text_config", {}))
    found = next((source["eos_token_id"] for source in sources if source.get("eos_token_id") is not None), None)
    if found is None:
        raise ValueError(f"{model_path} names no end-of-turn token: put eos_token_id into its generation_config.json")
    return frozenset(found if isinstance(found, list) else [found])


def _special_ids(model_path: Path) -> set[int]:
    return {token["id"] for token in _read_json(model_path / "tokenizer.json")["added_tokens"] if token["special"]}


def _read_json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))
