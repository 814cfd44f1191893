"""Distance to the reference policy, and the controllers of its weight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lmm_r1_mega.config import KLEstimator, KLSettings

LOG_RATIO_BOUND = 20.0
"""Differences of log-probabilities are cut here before exp, so that one absurd token cannot make a step infinite."""


def kl_estimate(
    logprobs: Float[Tensor, "*tokens"], reference: Float[Tensor, "*tokens"], estimator: KLEstimator
) -> Float[Tensor, "*tokens"]:
    """Per-token estimate of KL(policy || reference) from tokens the policy sampled (Schulman 2020, "Approximating KL Divergence").

    With d = logprobs - reference: k1 = d (unbiased, any sign), k2 = d^2 / 2 (biased, never negative; its gradient is the
    KL's), k3 = exp(-d) - 1 + d (unbiased, never negative). All are exactly 0 where the two agree.
    """
    difference = logprobs - reference
    if estimator == "k1":
        return difference
    if estimator == "k2":
        return difference.square() / 2
    bounded = difference.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)
    return torch.expm1(-bounded) + bounded


@dataclass
class FixedKL:
    """A KL coefficient that never moves."""

    coefficient: float

    def update(self, kl: float, num_samples: int) -> None:
        """Take notice of a step's mean KL; a fixed coefficient does not react."""

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"coefficient": self.coefficient}

    def restore(self, state: dict[str, float]) -> None:
        """Go on from `state()`."""
        self.coefficient = state["coefficient"]


@dataclass
class AdaptiveKL:
    """A KL coefficient that follows a target (Ziegler et al. 2019, section 2.2).

    Example: coefficient 0.1, target 1, horizon 100; after 10 samples with KL 1.1 it is 0.1 x (1 + 0.1 x 10 / 100) = 0.101.
    """

    coefficient: float
    target: float
    horizon: int

    def update(self, kl: float, num_samples: int) -> None:
        """Move by the relative error of a step's mean KL, at most 0.2, in proportion to the samples of the step.

        A step of more samples than the horizon moves by the whole error: by more, the coefficient could change its sign.
        """
        error = min(max(kl / self.target - 1, -0.2), 0.2)
        self.coefficient *= 1 + error * min(num_samples / self.horizon, 1.0)

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"coefficient": self.coefficient}

    def restore(self, state: dict[str, float]) -> None:
        """Go on from `state()`."""
        self.coefficient = state["coefficient"]


def kl_controller(settings: KLSettings) -> FixedKL | AdaptiveKL:
    """The controller that the settings ask for: adaptive exactly where they give a target."""
    if settings.target is None:
        return FixedKL(settings.coefficient)
    if settings.coefficient == 0:
        raise ValueError(
            f"algorithm.kl.target {settings.target} needs a coefficient to adapt, got 0: "
            f"set algorithm.kl.coefficient, or leave the target out"
        )
    return AdaptiveKL(settings.coefficient, settings.target, settings.horizon)
