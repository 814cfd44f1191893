"""Dynamic sampling (DAPO, Yu et al. 2025, arXiv 2503.14476, section 3.2): a group whose rewards are all equal teaches nothing.

Whole groups only: a group is trained with all its samples or with none. Groups beyond those that a step needs are dropped and
not kept for the next one, so that dynamic sampling by itself trains no sample of older weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain

from lmm_r1_mega.config import AlgorithmSettings, DynamicSamplingSettings
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.schema import Scored

Group = list[Scored]
"""All samples of one prompt that were drawn together."""

NO_VARIANCE, LEFT_OVER = "no_variance", "left_over"
"""Why a group is dropped."""


@dataclass(frozen=True)
class Selection:
    """The groups of a step, each list in the order in which they were asked for."""

    trained: list[Group]
    flat: list[Group]
    """Their rewards are all equal."""
    left_over: list[Group]
    """Asked for and not needed."""

    @property
    def num_groups(self) -> int:
        return len(self.trained) + len(self.flat) + len(self.left_over)

    @property
    def dropped(self) -> dict[str, list[Scored]]:
        """Samples that are not trained, by reason."""
        return {NO_VARIANCE: flatten(self.flat), LEFT_OVER: flatten(self.left_over)}


def in_groups(scored: list[Scored], size: int) -> list[Group]:
    """Cut a list into groups of `size` neighbors; `flatten` is the inverse."""
    return [scored[start : start + size] for start in range(0, len(scored), size)]


def flatten(groups: list[Group]) -> list[Scored]:
    """The samples of groups one after the other."""
    return list(chain.from_iterable(groups))


def is_informative(group: Group, settings: AlgorithmSettings) -> bool:
    """Whether a group may be trained: two of its rewards differ after clipping. Without dynamic sampling every group may.

    Unscored samples do not count.
    """
    low, high = settings.reward_clip or (-math.inf, math.inf)
    rewards = {min(max(one.score.reward, low), high) for one in group if one.score.reward is not None}
    return not settings.dynamic_sampling.enabled or len(rewards) > 1


def num_missing(groups: list[Group], settings: AlgorithmSettings) -> int:
    """Groups that a step still lacks."""
    return max(0, settings.prompts_per_step - sum(is_informative(group, settings) for group in groups))


def num_prompts_to_request(missing: int, settings: DynamicSamplingSettings) -> int:
    """Prompts to ask where `missing` groups are wanted.

    Example: 10 missing, oversampling 1.25 -> 13
    """
    return math.ceil(missing * settings.oversampling - 1e-9) if settings.enabled else missing


def select(groups: list[Group], settings: AlgorithmSettings) -> Selection:
    """The first informative groups as far as a step needs them, and the others by the reason why not.

    In the order of the prompts, so the choice depends on no speed: short answers are not preferred.
    """
    informative = [group for group in groups if is_informative(group, settings)]
    flat = [group for group in groups if not is_informative(group, settings)]
    wanted = settings.prompts_per_step
    return Selection(informative[:wanted], flat, informative[wanted:])


def check_selection(selection: Selection, settings: AlgorithmSettings, *, step: int) -> None:
    """Raises BadData where a step has no group to train, or too few samples for its optimizer steps."""
    if len(flatten(selection.trained)) >= settings.optimizer_steps:
        return
    samples = flatten(selection.flat) + flatten(selection.trained)
    rewards = [one.score.reward for one in samples if one.score.reward is not None]
    mean = f", their mean reward is {sum(rewards) / len(rewards):.3g}" if rewards else ""
    raise BadData(
        f"step {step + 1}: {len(selection.trained)} of {selection.num_groups} groups have rewards that differ "
        f"({len(samples) - len(rewards)} of {len(samples)} samples have no verdict{mean}), after {settings.dynamic_sampling.max_refills} "
        f"refills: the prompts are too hard or too easy for the policy. Train on others (`lmm-r1-mega eval` measures a file), raise "
        f"algorithm.samples_per_prompt, algorithm.dynamic_sampling.max_refills or rollout.temperature, or set "
        f"algorithm.dynamic_sampling.enabled to false"
    )


def selection_metrics(selection: Selection, *, refills: int) -> dict[str, float]:
    """What the choice cost, and the mean reward of all samples, which the trained ones alone no longer tell."""
    samples = flatten(selection.trained + selection.flat + selection.left_over)
    rewards = [one.score.reward for one in samples if one.score.reward is not None]
    return {
        "dynamic_sampling/flat_share": len(selection.flat) / selection.num_groups,
        "dynamic_sampling/dropped_share": 1 - len(selection.trained) / selection.num_groups,
        "dynamic_sampling/refills": float(refills),
        "dynamic_sampling/generated_per_trained": len(samples) / len(flatten(selection.trained)),
        "dynamic_sampling/reward": sum(rewards) / len(rewards),
    }
