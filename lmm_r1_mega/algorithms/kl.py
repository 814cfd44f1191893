"""Distance to the reference policy."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lmm_r1_mega.config import KLEstimator

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
