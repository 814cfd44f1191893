"""Settings of what is learned and how: algorithm, critic, optimizer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from lmm_r1_mega.config.section import Decay, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Probability, Section

AlgorithmName = Literal["ppo", "grpo", "dr_grpo", "rloo", "reinforce", "reinforce_pp", "reinforce_baseline"]
Aggregation = Literal["token", "sequence", "constant"]
KLEstimator = Literal["k1", "k2", "k3"]
PolicyLossName = Literal["clip", "gspo", "cispo"]
RatioLevel = Literal["token", "sequence"]
Whitening = Literal["none", "batch", "group"]

GROUP_BASELINES: frozenset[AlgorithmName] = frozenset({"grpo", "dr_grpo", "rloo", "reinforce_baseline"})
"""Algorithms that compare a sample with the others of its prompt."""
CRITIC_ALGORITHMS: frozenset[AlgorithmName] = frozenset({"ppo"})
"""Algorithms that learn a value of every token."""


class KLSettings(Section):
    """Distance to the reference policy."""

    coefficient: NonNegativeFloat = 0.0
    """Weight of the KL term; 0 means that no reference is kept."""
    estimator: KLEstimator = "k3"
    """k1 = d, k2 = d^2 / 2, k3 = exp(-d) - 1 + d with d = log pi - log reference."""
    apply_to: Literal["loss", "reward"] = "loss"
    """A term of the loss, or a penalty inside the token rewards."""
    importance_weighted: bool = False
    """Multiply the loss term by the policy's ratio to the old one: its value and its gradient are then unbiased after an update too."""
    target: PositiveFloat | None = None
    """With a target the coefficient is adapted towards it."""
    horizon: PositiveInt = 10000
    """Samples over which the adaptive coefficient moves by its error."""

    @model_validator(mode="after")
    def _loss_has_a_gradient(self) -> KLSettings:
        if self.coefficient and self.apply_to == "loss" and self.estimator == "k1" and not self.importance_weighted:
            raise ValueError(
                "algorithm.kl.estimator k1 has no gradient towards the reference inside the loss: use k2 or k3, set "
                "algorithm.kl.importance_weighted, or set algorithm.kl.apply_to to reward"
            )
        return self

    @model_validator(mode="after")
    def _target_has_something_to_adapt(self) -> KLSettings:
        if self.target is not None and not self.coefficient:
            raise ValueError(
                f"algorithm.kl.target {self.target} needs a coefficient to adapt, got 0: set algorithm.kl.coefficient, "
                f"or leave the target out"
            )
        return self


class DynamicSamplingSettings(Section):
    """Groups whose rewards are all equal teach nothing: DAPO replaces them."""

    enabled: bool = False
    """Train only groups whose rewards differ, and ask further prompts until there are `algorithm.prompts_per_step` of them."""
    oversampling: Annotated[float, Field(ge=1)] = 1.0
    """Prompts that are asked, at first and in a refill, as a multiple of the groups that are missing."""
    max_refills: NonNegativeInt = 10
    """Times in a step that missing groups are asked for again; the step then trains those that it has."""


class AlgorithmSettings(Section):
    """The estimator and its loss."""

    name: AlgorithmName = "grpo"
    """Row of the table in `algorithms/`."""
    prompts_per_step: PositiveInt = 128
    """Prompts of one step."""
    samples_per_prompt: PositiveInt = 8
    """Responses sampled for each prompt (a group)."""
    optimizer_steps: PositiveInt = 1
    """Optimizer steps into which one epoch over a step's samples is cut."""
    epochs: PositiveInt = 1
    """Passes over a step's samples."""
    policy_loss: PolicyLossName = "clip"
    """PPO's clipped ratio of tokens, GSPO's of whole responses, or CISPO's log-likelihood with a clipped weight."""
    clip_low: Annotated[float, Field(gt=0, le=1)] = 0.2
    """The ratio's lower bound is 1 - clip_low; with 1 it has none."""
    clip_high: PositiveFloat = 0.2
    """The ratio's upper bound is 1 + clip_high."""
    dual_clip: Annotated[float, Field(gt=1)] | None = None
    """Bound on the loss of samples with a negative advantage."""
    aggregation: Aggregation | None = None
    """Mean of the loss over tokens, over sequences, or sum over a constant; the algorithm's own when left out."""
    gamma: Probability = 1.0
    """Discount."""
    lam: Probability = 1.0
    """GAE's lambda."""
    whitening: Whitening | None = None
    """Advantages are shifted and scaled over all tokens of a step, over those of a prompt, or not; the algorithm's own when left out."""
    entropy_coefficient: NonNegativeFloat = 0.0
    """Weight of the entropy bonus."""
    entropy_target: PositiveFloat | None = None
    """With a target (in nats a token) the weight of the entropy bonus is adapted towards it."""
    reward_clip: tuple[float, float] | None = None
    """Raw rewards are clipped into this range before anything else."""
    old_logprobs: Literal["trainer", "rollout"] = "trainer"
    """Whose log-probabilities are the old ones: the trainer's before its first update, or the rollout engine's, which need no pass."""
    importance_cap: PositiveFloat | None = None
    """Cap of the truncated importance weight between rollout engine and trainer; left out: no cap."""
    importance_bounds: tuple[NonNegativeFloat, PositiveFloat] | None = None
    """Tokens whose importance weight is outside train nothing, the others keep theirs (IcePop); left out: all train."""
    importance_level: RatioLevel = "token"
    """Whether a token's importance weight is its own or that of its whole response."""
    bootstrap_truncated: bool = True
    """PPO: a response cut by the length limit is continued by the critic's value instead of ending with 0."""
    kl: KLSettings = KLSettings()
    """Distance to the reference policy."""
    dynamic_sampling: DynamicSamplingSettings = DynamicSamplingSettings()
    """Groups whose rewards are all equal are replaced."""

    @property
    def needs_critic(self) -> bool:
        """Whether a value model is trained."""
        return self.name in CRITIC_ALGORITHMS

    @property
    def needs_reference(self) -> bool:
        """Whether a reference policy is kept."""
        return self.kl.coefficient > 0

    @model_validator(mode="after")
    def _groups_are_large_enough(self) -> AlgorithmSettings:
        compares = {f"algorithm.name {self.name}": self.name in GROUP_BASELINES, "algorithm.whitening group": self.whitening == "group"}
        for setting, is_set in compares.items():
            if is_set and self.samples_per_prompt < 2:
                raise ValueError(
                    f"{setting} compares samples of a prompt and needs at least 2, got {self.samples_per_prompt}: "
                    f"raise algorithm.samples_per_prompt"
                )
        return self

    @model_validator(mode="after")
    def _ranges_hold_something(self) -> AlgorithmSettings:
        ranges = {"algorithm.importance_bounds": self.importance_bounds, "algorithm.reward_clip": self.reward_clip}
        for setting, bounds in ranges.items():
            if bounds is not None and bounds[0] >= bounds[1]:
                raise ValueError(f"{setting} {bounds[0]} and {bounds[1]} hold nothing: give the lower one first")
        return self

    @model_validator(mode="after")
    def _losses_agree(self) -> AlgorithmSettings:
        if self.policy_loss == "cispo" and self.dual_clip is not None:
            raise ValueError("algorithm.dual_clip bounds a clipped ratio, which algorithm.policy_loss cispo has not: leave it out")
        weighs = {"algorithm.importance_cap": self.importance_cap, "algorithm.importance_bounds": self.importance_bounds}
        weighing = [setting for setting, value in weighs.items() if value is not None]
        if self.old_logprobs == "rollout" and weighing:
            raise ValueError(
                f"{weighing[0]} weighs the trainer's old log-probabilities against the engine's, and with algorithm.old_logprobs rollout "
                f"the engine's are the old ones: leave it out, or set algorithm.old_logprobs to trainer"
            )
        if self.entropy_target is not None and not self.entropy_coefficient:
            raise ValueError(
                f"algorithm.entropy_target {self.entropy_target} needs a weight to adapt, got 0: "
                f"set algorithm.entropy_coefficient, or leave the target out"
            )
        if self.dynamic_sampling.enabled and self.samples_per_prompt < 2:
            raise ValueError(
                f"algorithm.dynamic_sampling trains groups whose rewards differ and needs at least 2 samples, got "
                f"{self.samples_per_prompt}: raise algorithm.samples_per_prompt"
            )
        return self


class CriticSettings(Section):
    """PPO's value model."""

    path: Path | None = None
    """Hugging Face folder that the critic starts from; the policy's when left out."""
    learning_rate: PositiveFloat = 9e-6
    """Peak learning rate of the critic."""
    value_clip: PositiveFloat = 0.2
    """Range of the value's change in one step."""
    normalize_returns: bool = False
    """The critic learns returns that are shifted and scaled by their running mean and deviation."""
    warmup_steps: NonNegativeInt = 0
    """Steps in which only the critic learns."""


class OptimizerSettings(Section):
    """AdamW and its schedule."""

    learning_rate: PositiveFloat = 1e-6
    """Peak learning rate."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Decay after the warm-up."""
    warmup_steps: NonNegativeInt = 0
    """Optimizer steps of linear warm-up."""
    final_ratio: Probability = 0.1
    """Learning rate at the end as a share of the peak."""
    beta1: Decay = 0.9
    """Decay of the first moment."""
    beta2: Decay = 0.95
    """Decay of the second moment."""
    eps: PositiveFloat = 1e-8
    """Added to the root of the second moment."""
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled weight decay of matrices; norms and biases have none."""
    grad_clip: NonNegativeFloat = 1.0
    """Largest gradient norm; 0 is no limit."""


class SFTSettings(Section):
    """Supervised cold start (`sft` verb)."""

    batch_size: PositiveInt = 64
    """Rows of one optimizer step."""
