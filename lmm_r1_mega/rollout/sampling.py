"""How responses are drawn: the settings of one call and the random seeds."""

from __future__ import annotations

from dataclasses import dataclass

import xxhash

from lmm_r1_mega.config import RolloutSettings


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
