"""Advantages, losses, KL, importance weights and their gradients against the published formulas, on 1000 random steps.

The reference below is plain Python in float64, written from the papers, with one loop a sum; it shares nothing with the package.
Means of a group are exact (`statistics.mean`): what equal rewards leave of a rounded one, 1e-6 would blow up.
Steps have masked padding full of junk, unscored samples, groups of equal rewards, empty and truncated responses.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from statistics import fmean, mean, pvariance, stdev

import pytest
import torch

from lmm_r1_mega.algorithms.losses import POLICY_LOSSES, Clip, PolicyLoss
from lmm_r1_mega.algorithms.metrics import mismatch
from lmm_r1_mega.algorithms.ratios import Importance
from lmm_r1_mega.algorithms.table import ALGORITHMS, aggregation_of, prepare
from lmm_r1_mega.algorithms.trajectories import Trajectories
from lmm_r1_mega.algorithms.weights import token_weights
from lmm_r1_mega.config import AlgorithmSettings
from lmm_r1_mega.training.objectives import PolicyTokens, ValueTokens, means, policy_objective, value_objective
from lmm_r1_mega.training.vocab_parallel import TokenScores

NUM_STEPS = 143  # of each of the seven rows: 1001
TOLERANCE = 1e-6
EPS = 1e-6  # beside every standard deviation that divides, as in the published implementations
LONGEST = 6  # max_response_tokens of the constant aggregation
TOKEN_FIELDS = ("logprobs", "old", "rollout", "reference", "values", "new_values", "entropy")


@dataclass
class Response:
    reward: float
    valid: bool
    truncated: bool
    tokens: list[dict[str, float]]
    """By name of `TOKEN_FIELDS`, one dict a token."""


# ---- the reference: advantages


def bounded(number: float, low: float, high: float) -> float:
    return min(max(number, low), high)


def shaped_reward(name: str, reward: float, others: list[float]) -> float:
    """Of a valid sample, by the rewards of the other valid samples of its prompt."""
    group = [reward, *others]
    if name in ("ppo", "reinforce", "reinforce_pp"):
        return reward
    if name == "rloo":  # Ahmadian et al. 2024, eq. 8
        return reward - mean(others) if others else 0.0
    if name == "grpo":  # Shao et al. 2024, section 4.1.2
        return (reward - mean(group)) / (stdev(group) + EPS) if others else 0.0
    return reward - mean(group)  # Liu et al. 2025; Hu et al. 2025


def kl(difference: float, estimator: str) -> float:
    """Schulman 2020, difference = log pi - log reference."""
    return {"k1": difference, "k2": difference**2 / 2, "k3": math.exp(-difference) - 1 + difference}[estimator]


def token_rewards(response: Response, shaped: float, settings: AlgorithmSettings) -> list[float]:
    penalty = settings.kl.coefficient if settings.kl.apply_to == "reward" else 0.0
    rewards = [-penalty * kl(token["old"] - token["reference"], settings.kl.estimator) for token in response.tokens]
    return [*rewards[:-1], rewards[-1] + shaped] if rewards else []


def discounted(rewards: list[float], decay: float) -> list[float]:
    return [sum(decay**k * reward for k, reward in enumerate(rewards[t:])) for t in range(len(rewards))]


def surprises(rewards: list[float], response: Response, settings: AlgorithmSettings) -> list[float]:
    """Schulman et al. 2016, eq. 16: the temporal differences whose discounted sums are the advantages."""
    values = [token["values"] for token in response.tokens]
    after = values[-1:] if response.truncated and settings.bootstrap_truncated else [0.0]
    following = values[1:] + after
    return [reward + settings.gamma * later - value for reward, value, later in zip(rewards, values, following, strict=False)]


def whitened(advantages: list[list[float]]) -> list[list[float]]:
    flat = [number for response in advantages for number in response]
    if not flat:
        return advantages
    center, spread = mean(flat), math.sqrt(pvariance(flat))
    return [[(number - center) / (spread + EPS) for number in response] for response in advantages]


def expected_credit(groups: list[list[Response]], settings: AlgorithmSettings) -> tuple[list[list[float]], list[list[float]]]:
    """Advantages, and returns as a critic learns them, of every token of the valid responses; none of the others."""
    low, high = settings.reward_clip or (-math.inf, math.inf)
    advantages, returns = [], []
    for group in groups:
        rewards = [bounded(response.reward, low, high) for response in group]
        for i, response in enumerate(group):
            if not response.valid:
                advantages.append([])
                returns.append([])
                continue
            others = [rewards[j] for j in range(len(group)) if j != i and group[j].valid]
            per_token = token_rewards(response, shaped_reward(settings.name, rewards[i], others), settings)
            if settings.name == "ppo":
                found = discounted(surprises(per_token, response, settings), settings.gamma * settings.lam)
            else:
                found = discounted(per_token, settings.gamma)
            advantages.append(found)
            returns.append([advantage + token["values"] for advantage, token in zip(found, response.tokens, strict=True)])
    batch = settings.name in ("ppo", "reinforce_pp", "reinforce_baseline") if settings.whitening is None else settings.whitening == "batch"
    if batch:
        return whitened(advantages), returns
    if settings.whitening == "group":
        size = len(groups[0])
        return [one for start in range(0, len(advantages), size) for one in whitened(advantages[start : start + size])], returns
    return advantages, returns


# ---- the reference: losses


def geometric_ratio(tokens: list[dict[str, float]], above: str, below: str) -> float:
    """Zheng et al. 2025, section 4.1."""
    return math.exp(sum(token[above] - token[below] for token in tokens) / len(tokens))


def importance(token: dict[str, float], tokens: list[dict[str, float]], settings: AlgorithmSettings) -> float:
    """Truncated: min(ratio, C) (Yao et al. 2025). IcePop: ratio inside [low, high], else 0 (arXiv 2510.18855)."""
    if settings.importance_cap is None and settings.importance_bounds is None:
        return 1.0
    of = tokens if settings.importance_level == "sequence" else [token]
    ratio = math.prod(math.exp(one["old"]) / math.exp(one["rollout"]) for one in of)
    low, high = settings.importance_bounds or (0.0, math.inf)
    return min(ratio, settings.importance_cap or math.inf) if low <= ratio <= high else 0.0


def surrogate(ratio: float, token: dict[str, float], advantage: float, settings: AlgorithmSettings) -> tuple[float, float, str]:
    """Loss of a token, its derivative by the token's log-probability, and the bound that acts upon it."""
    low, high = 1 - settings.clip_low, 1 + settings.clip_high
    if settings.policy_loss == "cispo":  # MiniMax 2025, section 3.1
        weight = bounded(ratio, low, high)
        side = "low" if ratio < low else "high" if ratio > high else ""
        return -weight * advantage * token["logprobs"], -weight * advantage, side
    side = "high" if advantage > 0 and ratio > high else "low" if advantage < 0 and ratio < low else ""
    objective = min(ratio * advantage, bounded(ratio, low, high) * advantage)  # Schulman et al. 2017, eq. 7
    slope = 0.0 if side else ratio * advantage
    if settings.dual_clip and advantage < 0 and objective < settings.dual_clip * advantage:  # Ye et al. 2020, eq. 5
        return -settings.dual_clip * advantage, 0.0, side
    return -objective, -slope, side


def kl_term(token: dict[str, float], settings: AlgorithmSettings) -> tuple[float, float]:
    """The KL in the loss and its derivative; weighted by the ratio as in DeepSeek-V3.2 (2025, section 3.1)."""
    if settings.kl.apply_to == "reward" or not settings.kl.coefficient:
        return 0.0, 0.0
    difference = token["logprobs"] - token["reference"]
    value = kl(difference, settings.kl.estimator)
    slope = {"k1": 1.0, "k2": difference, "k3": 1 - math.exp(-difference)}[settings.kl.estimator]
    if settings.kl.importance_weighted:
        ratio = math.exp(token["logprobs"]) / math.exp(token["old"])
        value, slope = ratio * value, ratio * value + ratio * slope
    return settings.kl.coefficient * value, settings.kl.coefficient * slope


@dataclass
class Sums:
    """What the loops over responses and tokens collect."""

    loss: float
    slopes: list[float]
    """Derivative of the loss by the log-probability of every token."""
    ratios: list[float]
    sides: list[str]


def expected_loss(responses: list[Response], advantages: list[list[float]], settings: AlgorithmSettings, aggregation: str) -> Sums:
    trained = [response for response in responses if response.valid and response.tokens]
    num_tokens = sum(len(response.tokens) for response in trained)
    sums = Sums(0.0, [], [], [])
    for response, credit in zip(responses, advantages, strict=True):
        if not response.valid:
            sums.slopes += [0.0] * len(response.tokens)
            continue
        for token, advantage in zip(response.tokens, credit, strict=True):
            shares = {
                "token": 1 / num_tokens,
                "sequence": 1 / len(trained) / len(response.tokens),
                "constant": 1 / len(trained) / LONGEST,
            }
            of = response.tokens if settings.policy_loss == "gspo" else [token]
            ratio = geometric_ratio(of, "logprobs", "old")
            loss, slope, side = surrogate(ratio, token, advantage, settings)
            weight = importance(token, response.tokens, settings)
            distance, pull = kl_term(token, settings)
            sums.loss += shares[aggregation] * (weight * loss + distance - settings.entropy_coefficient * token["entropy"])
            sums.slopes.append(shares[aggregation] * (weight * slope + pull))
            sums.ratios.append(ratio)
            sums.sides.append(side)
    return sums


def expected_value_loss(token: dict[str, float], target: float, clip: float) -> float:
    near = token["values"] + bounded(token["new_values"] - token["values"], -clip, clip)
    return 0.5 * max((token["new_values"] - target) ** 2, (near - target) ** 2)


# ---- random steps


def draw_settings(rng: random.Random, name: str, group_size: int) -> AlgorithmSettings:
    apply_to = rng.choice(["loss", "reward"])
    weighted = apply_to == "loss" and rng.random() < 0.5
    estimators = ["k2", "k3"] if apply_to == "loss" and not weighted else ["k1", "k2", "k3"]
    policy_loss = rng.choice(sorted(POLICY_LOSSES))
    return AlgorithmSettings.model_validate(
        {
            "name": name,
            "samples_per_prompt": group_size,
            "policy_loss": policy_loss,
            "clip_low": rng.choice([0.1, 0.2, 1.0]),
            "clip_high": rng.choice([0.2, 0.28, 1.0]),
            "dual_clip": None if policy_loss == "cispo" else rng.choice([None, 1.5, 3.0]),
            "aggregation": rng.choice([None, "token", "sequence", "constant"]),
            "gamma": rng.choice([1.0, 0.9]),
            "lam": rng.choice([1.0, 0.95, 0.0]),
            "whitening": rng.choice([None, None, "none", "batch", "group"]),
            "reward_clip": rng.choice([None, (-0.5, 1.0)]),
            "bootstrap_truncated": rng.random() < 0.5,
            "entropy_coefficient": rng.choice([0.0, 0.01]),
            "importance_cap": rng.choice([None, 1.2, 2.0]),
            "importance_bounds": rng.choice([None, (0.5, 2.0)]),
            "importance_level": rng.choice(["token", "sequence"]),
            "kl": {
                "coefficient": rng.choice([0.0, 0.1]),
                "apply_to": apply_to,
                "estimator": rng.choice(estimators),
                "importance_weighted": weighted,
            },
        }
    )


def draw_group(rng: random.Random, size: int) -> list[Response]:
    equal = rng.choice([None, None, 0.1])
    return [
        Response(
            reward=rng.choice([0.0, 1.0, 1.5, rng.gauss(0, 1)]) if equal is None else equal,
            valid=rng.random() < 0.85,
            truncated=rng.random() < 0.3,
            tokens=[draw_token(rng) for _ in range(rng.choice([0, *range(1, LONGEST + 1)]))],
        )
        for _ in range(size)
    ]


def draw_token(rng: random.Random) -> dict[str, float]:
    old = -abs(rng.gauss(0, 1.5))
    near = {name: old + rng.choice([0.0, rng.gauss(0, 0.4)]) for name in ("logprobs", "rollout", "reference")}
    return near | {"old": old, "values": rng.gauss(0, 1), "new_values": rng.gauss(0, 1), "entropy": rng.random()}


def draw_groups(rng: random.Random, size: int) -> list[list[Response]]:
    groups = [draw_group(rng, size) for _ in range(rng.randint(1, 3))]
    groups[0][0].tokens = groups[0][0].tokens or [draw_token(rng)]
    return groups


def draw_steps(name: str) -> Iterator[tuple[list[list[Response]], AlgorithmSettings]]:
    rng = random.Random(name)
    for size in rng.choices([2, 3, 4], k=NUM_STEPS):
        yield draw_groups(rng, size), draw_settings(rng, name, size)


# ---- the package, on the same step


def padded(responses: list[Response], name: str) -> torch.Tensor:
    """Of every response, with junk on the right."""
    length = max(len(response.tokens) for response in responses)
    rows = [[token[name] for token in response.tokens] for response in responses]
    return torch.tensor([row + [7.5] * (length - len(row)) for row in rows], dtype=torch.float64)


def packed(responses: list[Response], name: str) -> torch.Tensor:
    return torch.tensor([token[name] for response in responses for token in response.tokens], dtype=torch.float64)


def lengths_of(responses: list[Response]) -> torch.Tensor:
    return torch.tensor([len(response.tokens) for response in responses])


def trajectories(groups: list[list[Response]], settings: AlgorithmSettings) -> Trajectories:
    responses = [response for group in groups for response in group]
    return Trajectories(
        rewards=torch.tensor([response.reward if response.valid else math.nan for response in responses], dtype=torch.float64),
        valid=torch.tensor([response.valid for response in responses]),
        truncated=torch.tensor([response.truncated for response in responses]),
        lengths=lengths_of(responses),
        old_logprobs=packed(responses, "old"),
        group_size=settings.samples_per_prompt,
        reference_logprobs=packed(responses, "reference"),
        values=packed(responses, "values"),
    )


def loss_of(settings: AlgorithmSettings) -> PolicyLoss:
    weighs = settings.importance_cap is not None or settings.importance_bounds is not None
    return PolicyLoss(
        Clip(settings.clip_low, settings.clip_high, settings.dual_clip),
        temperature=1.0,
        name=settings.policy_loss,
        importance=Importance(settings.importance_level, settings.importance_cap, settings.importance_bounds) if weighs else None,
        kl_coefficient=settings.kl.coefficient if settings.kl.apply_to == "loss" else 0.0,
        kl_estimator=settings.kl.estimator,
        kl_weighted=settings.kl.importance_weighted,
        entropy_coefficient=settings.entropy_coefficient,
    )


def assert_near(found: torch.Tensor | float, expected: list[float] | float, about: object) -> None:
    found, expected = (torch.as_tensor(numbers, dtype=torch.float64) for numbers in (found, expected))
    assert found.shape == expected.shape, about
    assert bool(((found - expected).abs() <= TOLERANCE * (1 + expected.abs())).all()), (found, expected, about)


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_a_step_is_as_published(name: str) -> None:
    for groups, settings in draw_steps(name):
        responses = [response for group in groups for response in group]
        inputs, lengths = trajectories(groups, settings), lengths_of(responses)
        advantages, returns = expected_credit(groups, settings)
        trained = torch.repeat_interleave(inputs.valid, lengths)

        found = prepare(inputs, settings, settings.kl.coefficient)
        assert_near(found.advantages[trained], list(chain(*advantages)), settings)
        assert found.advantages[~trained].eq(0).all()
        if found.returns is not None:
            assert_near(found.returns[trained], list(chain(*returns)), settings)

        weights = token_weights(lengths, inputs.valid, aggregation_of(settings), max_response_tokens=LONGEST)
        tokens = PolicyTokens(
            segments=torch.repeat_interleave(torch.arange(len(lengths)), lengths),
            weights=torch.repeat_interleave(weights, lengths).double(),
            advantages=found.advantages,
            old_logprobs=packed(responses, "old"),
            rollout_logprobs=packed(responses, "rollout"),
            reference_logprobs=packed(responses, "reference"),
        )
        logprobs = packed(responses, "logprobs").requires_grad_()
        loss, sums, extremes = policy_objective(TokenScores(logprobs, packed(responses, "entropy")), tokens, loss_of(settings))
        expected = expected_loss(responses, advantages, settings, aggregation_of(settings))
        assert_near(loss.detach(), expected.loss, settings)
        assert_near(torch.autograd.grad(loss, logprobs)[0], expected.slopes, settings)
        if expected.ratios:
            assert_near_figures(means({figure: float(value) for figure, value in sums.items()}), extremes["ratio"], expected)


def assert_near_figures(found: dict[str, float], extremes: torch.Tensor, expected: Sums) -> None:
    ratios, count = expected.ratios, len(expected.ratios)
    assert_near(extremes, [min(ratios), max(ratios)], "extremes")
    figures = {
        "ratio/mean": fmean(ratios),
        "ratio/ess": sum(ratios) ** 2 / count / sum(ratio**2 for ratio in ratios),
        "clip_ratio/low_mean": expected.sides.count("low") / count,
        "clip_ratio/high_mean": expected.sides.count("high") / count,
    }
    for figure, number in figures.items():
        assert_near(found[figure], number, figure)
    assert found["ratio/std"] ** 2 == pytest.approx(pvariance(ratios), abs=1e-9)


def test_value_losses_and_mismatch_are_as_published() -> None:
    rng = random.Random("values")
    for size in rng.choices([2, 3, 4], k=1000):
        responses = [response for group in draw_groups(rng, size) for response in group]
        tokens = [token for response in responses for token in response.tokens]
        values, weights = packed(responses, "new_values"), torch.rand(len(tokens), dtype=torch.float64)
        targets = ValueTokens(weights, returns=packed(responses, "logprobs"), old_values=packed(responses, "values"))
        losses = [expected_value_loss(token, token["logprobs"], 0.3) for token in tokens]
        expected = sum(weight * loss for weight, loss in zip(weights.tolist(), losses, strict=True))
        assert_near(value_objective(values, targets, clip=0.3).loss, expected, "value loss")

        figures = mismatch(packed(responses, "old"), packed(responses, "rollout"))
        differences = [token["old"] - token["rollout"] for token in tokens]
        ratios = [math.exp(difference) for difference in differences]
        assert_near(figures["mismatch/abs_mean"], fmean(abs(one) for one in differences), "abs_mean")
        assert_near(figures["mismatch/k3"], fmean(ratio - 1 - one for ratio, one in zip(ratios, differences, strict=True)), "k3")
        assert_near(figures["mismatch/ess"], sum(ratios) ** 2 / len(ratios) / sum(ratio**2 for ratio in ratios), "ess")
