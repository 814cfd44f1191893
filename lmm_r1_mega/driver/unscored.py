"""What keeps a run from training nothing and calling it done: every source of rewards is tried before the start, then watched."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch

from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.data.stream.stream import PromptStream
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.rewards.components import component_weights
from lmm_r1_mega.rewards.golds import counted, scorable_rows
from lmm_r1_mega.rewards.messages import PartialReward
from lmm_r1_mega.rewards.total import as_input, text_sources
from lmm_r1_mega.rewards.workers.pool import TRUNCATED, RewardPool
from lmm_r1_mega.schema import Completion, Prompt, Sample, Score, Scored

NUM_TRIALS = 4
TRIAL_RESPONSE = "<think> A trial of the rewards. </think>\n<answer> {answer} </answer>"
MAX_STEPS_UNSCORED = 2
WORTH_A_WARNING = 0.5
"""Share of unscored samples."""

logger = logging.getLogger(__name__)


def trial_samples(prompts: PromptStream, pool: RewardPool) -> list[Sample]:
    """Right answers to the first records whose gold answer can be judged.

    Raises: BadData where there is no such record.
    """
    rows = scorable_rows(pool, prompts.answers, source="data.train", count=NUM_TRIALS)
    return [Sample(prompt, _right_answer(prompt)) for prompt in prompts.examples(rows)]


def _right_answer(prompt: Prompt) -> Completion:
    text = TRIAL_RESPONSE.format(answer="unknown" if prompt.answer is None else prompt.answer)
    return Completion(prompt.expanded_ids, torch.tensor([0]), torch.zeros(1), text, "stop", 0)


def try_text_rewards(settings: RewardSettings, pool: RewardPool, samples: Sequence[Sample]) -> None:
    """Send the samples through every source of rewards that reads text.

    Raises: ValueError where nothing pays, or a source scores none of the samples: with its reasons.
    """
    if not any(component_weights(settings).values()):
        raise ValueError("reward.weights are all 0, so that nothing pays and nothing is trained: give one another weight")
    patience_s = min(settings.remote.budget_s, settings.remote.timeout_s)
    hasty = settings.model_copy(update={"remote": settings.remote.model_copy(update={"budget_s": patience_s})})
    inputs = [as_input(sample) for sample in samples]
    for source in (pool.partial_rewards, *text_sources(hasty)):
        _check_scores(source(inputs))


def try_reward_models(score: Callable[[Sequence[Sample]], Mapping[str, Sequence[float | None]]], samples: Sequence[Sample]) -> None:
    """Send the samples through the reward models. Raises: ValueError for one that gives none of them a number."""
    for name, scores in score(samples).items():
        if samples and not any(value is not None and torch.isfinite(torch.tensor(value)) for value in scores):
            raise ValueError(f"reward model {name} scores none of {len(samples)} right answers ({scores}): look at reward.models")


def _check_scores(rewards: Sequence[PartialReward]) -> None:
    reasons = Counter(reward.invalid for reward in rewards if reward.invalid)
    if rewards and len(rewards) == reasons.total():
        raise ValueError(
            f"the rewards score none of {len(rewards)} right answers to records of data.train ({counted(reasons)}): "
            f"fix what the reason names; `lmm-r1-mega reward try` repeats it"
        )


class ScoringWatch:
    """Ends a run whose samples are not scored: too many in one step, or all of them twice in a row."""

    def __init__(self, *, max_invalid_share: float, num_steps: int) -> None:
        self._max_share = max_invalid_share
        self._max_steps = min(MAX_STEPS_UNSCORED, num_steps)
        self._steps_unscored = 0

    def check(self, step: int, scored: Sequence[Scored]) -> None:
        """Look at all samples of a step, dropped ones too. Raises: BadData with the counts by reason."""
        reasons = unscored(one.score for one in scored)
        self._steps_unscored = self._steps_unscored + 1 if reasons.total() == len(scored) else 0
        what = f"step {step + 1}: {reasons.total()} of {len(scored)} samples have no reward ({counted(reasons)})"
        if self._steps_unscored == self._max_steps:
            raise BadData(
                f"{what}, as in the step before: nothing is trained. Fix what the reason names, then `lmm-r1-mega resume` the run"
            )
        if reasons.total() - reasons[TRUNCATED] > self._max_share * len(scored):
            raise BadData(f"{what}, more than reward.max_invalid_share {self._max_share}: fix what the reason names, or raise it")
        if reasons.total() > WORTH_A_WARNING * len(scored):
            logger.warning("%s", what)


def unscored(scores: Iterable[Score]) -> Counter[str]:
    """Samples without a reward by reason."""
    return Counter(score.invalid for score in scores if score.invalid is not None)
