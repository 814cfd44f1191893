"""What an algorithm adapts from step to step: the weights of KL and entropy, and the scale of the critic's returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from lmm_r1_mega.config import AlgorithmSettings, Config

ENTROPY_HORIZON = 10_000
"""Samples over which the entropy's coefficient moves by its error."""
SCALE_STEPS = 100
"""Steps over which the scale of the returns is averaged."""
SMALLEST_STD = 1e-4
"""Returns that are all but equal are not blown up."""

ControllerState = dict[str, float]
"""What a checkpoint keeps of one controller."""


@dataclass
class FixedCoefficient:
    """A coefficient that never moves."""

    coefficient: float

    def update(self, measured: float, num_samples: int) -> None:
        """Take notice of a step's mean; a fixed coefficient does not react."""

    def state(self) -> ControllerState:
        """What a checkpoint keeps."""
        return {"coefficient": self.coefficient}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from `state()`."""
        self.coefficient = state["coefficient"]


@dataclass
class AdaptiveCoefficient:
    """A coefficient that drives what it weighs towards a target (Ziegler et al. 2019, section 2.2).

    Example: coefficient 0.1, target 1, horizon 100, more for what is above; after 10 samples with a mean of 1.1 it is
    0.1 x (1 + 0.1 x 10 / 100) = 0.101.
    """

    coefficient: float
    target: float
    horizon: int
    more_when: Literal["above", "below"] = "above"
    """A penalty grows with what exceeds the target, a bonus with what is short of it."""

    def update(self, measured: float, num_samples: int) -> None:
        """Move by the relative error of a step's mean, at most 0.2, in proportion to the samples of the step.

        A step of more samples than the horizon moves by the whole error: by more, the coefficient could change its sign.
        """
        error = min(max(measured / self.target - 1, -0.2), 0.2)
        growth = error if self.more_when == "above" else -error
        self.coefficient *= 1 + growth * min(num_samples / self.horizon, 1.0)

    def state(self) -> ControllerState:
        """What a checkpoint keeps."""
        return {"coefficient": self.coefficient}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from `state()`."""
        self.coefficient = state["coefficient"]


@dataclass
class ReturnScale:
    """Running mean and deviation of the returns, in whose units the critic speaks (value normalization, Yu et al. 2022, MAPPO).

    The first `SCALE_STEPS` steps count equally, later ones as in a moving average of that length. Before the first step, and
    where it is not `moving`, the critic speaks in plain returns.
    """

    moving: bool
    steps: float = 0.0
    mean: float = 0.0
    square: float = 1.0

    @property
    def std(self) -> float:
        """Deviation of the returns."""
        return max(self.square - self.mean**2, SMALLEST_STD**2) ** 0.5

    def to_critic(self, returns: Tensor) -> Tensor:
        """Returns as the critic is to give them."""
        return (returns - self.mean) / self.std

    def from_critic(self, values: Tensor) -> Tensor:
        """What the critic gave as returns; the inverse of `to_critic`."""
        return values * self.std + self.mean

    def update(self, mean: float, std: float) -> None:
        """Take in a step's mean and deviation of all returns.

        Example: steps with returns of mean 1 and 3 and no deviation -> mean 2, deviation 1.
        """
        if not self.moving:
            return
        self.steps += 1
        share = max(1 / self.steps, 1 / SCALE_STEPS)
        self.mean += share * (mean - self.mean)
        self.square += share * (std**2 + mean**2 - self.square)

    def state(self) -> ControllerState:
        """What a checkpoint keeps."""
        return {"steps": self.steps, "mean": self.mean, "square": self.square}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from `state()`."""
        self.steps, self.mean, self.square = state["steps"], state["mean"], state["square"]


@dataclass
class Controllers:
    """All that a run adapts."""

    kl: FixedCoefficient | AdaptiveCoefficient
    entropy: FixedCoefficient | AdaptiveCoefficient
    returns: ReturnScale

    def metrics(self) -> dict[str, float]:
        """What a step was weighed with, named as in metrics.jsonl."""
        return {"kl_coefficient": self.kl.coefficient, "entropy_coefficient": self.entropy.coefficient}

    def state(self) -> dict[str, ControllerState]:
        """What a checkpoint keeps."""
        return {"kl": self.kl.state(), "entropy": self.entropy.state(), "returns": self.returns.state()}

    def restore(self, state: Mapping[str, ControllerState]) -> None:
        """Go on from `state()`."""
        self.kl.restore(state["kl"])
        self.entropy.restore(state["entropy"])
        self.returns.restore(state["returns"])


def make_controllers(config: Config) -> Controllers:
    """The controllers that the settings ask for: adaptive exactly where they give a target."""
    return Controllers(_of_kl(config.algorithm), _of_entropy(config.algorithm), ReturnScale(config.critic.normalize_returns))


def _of_kl(settings: AlgorithmSettings) -> FixedCoefficient | AdaptiveCoefficient:
    kl = settings.kl
    if kl.target is None:
        return FixedCoefficient(kl.coefficient)
    return AdaptiveCoefficient(kl.coefficient, kl.target, kl.horizon)


def _of_entropy(settings: AlgorithmSettings) -> FixedCoefficient | AdaptiveCoefficient:
    if settings.entropy_target is None:
        return FixedCoefficient(settings.entropy_coefficient)
    return AdaptiveCoefficient(settings.entropy_coefficient, settings.entropy_target, ENTROPY_HORIZON, more_when="below")
