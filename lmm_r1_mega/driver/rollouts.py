"""Where a step's samples come from: prompts, generation, rewards; in the step itself, or one step ahead of it.

In step:   generate 1 | train 1 | publish | generate 2 | train 2 | publish
Ahead:     generate 1 | train 1 ............. | publish | train 2 ............. | publish
                      | generate 2 (weights 0) |         | generate 3 (weights 1) |

Generation that is ahead begins when the samples of the present step are complete, and ends before the next weights are
published: engines never change weights in the middle of a sample, and a sample is at most one step old.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from lmm_r1_mega.cluster.engines import Generation, RolloutEngines
from lmm_r1_mega.config import Config
from lmm_r1_mega.data.stream.stream import PromptStream, StreamPosition
from lmm_r1_mega.driver.dynamic_sampling import (
    Group,
    check_selection,
    flatten,
    in_groups,
    num_missing,
    num_prompts_to_request,
    select,
    selection_metrics,
)
from lmm_r1_mega.driver.evaluate import score
from lmm_r1_mega.driver.step_metrics import SampleAccounting
from lmm_r1_mega.driver.unscored import ScoringWatch
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.record.completions import read_completions, write_completions
from lmm_r1_mega.rewards.total import Rewards
from lmm_r1_mega.rollout.engine import Sampling
from lmm_r1_mega.schema import Prompt, Sample, Scored

logger = logging.getLogger(__name__)

IN_FLIGHT_FILE = "in_flight.safetensors"
REFILL_SEEDS = 2**40
"""Distance of the seeds of a step's refills; steps and run seeds stay far below."""


@dataclass(frozen=True)
class StepSamples:
    """What a step learns from."""

    scored: list[Scored]
    """Whole groups, samples of a prompt as neighbors."""
    accounting: SampleAccounting
    metrics: dict[str, float]


class Rollouts:
    """The scored samples of one step after the other, and those that are generated ahead."""

    def __init__(
        self,
        config: Config,
        prompts: PromptStream,
        engines: RolloutEngines,
        rewards: Rewards,
        *,
        phase: Callable[[str], AbstractContextManager],
    ) -> None:
        self._config = config
        self._prompts = prompts
        self._engines = engines
        self._rewards = rewards
        self._phase = phase
        self._sampling = Sampling.of(config.rollout)
        self._generation: Generation | None = None
        self._ready: list[Sample] = []
        self._next_position: StreamPosition | None = None
        self._num_dispatched = self._num_in_flight = 0
        self._watch = ScoringWatch(max_invalid_share=config.reward.max_invalid_share, num_steps=config.run.steps)

    def take(self, step: int) -> StepSamples:
        """The samples of a step; where the settings say so, the generation of the next goes on afterwards.

        Raises:
            BadData: dynamic sampling finds nothing to train, or too few samples are scored.
        """
        in_flight, self._num_in_flight, self._num_dispatched = self._num_in_flight, 0, 0
        algorithm, refills = self._config.algorithm, 0
        groups = self._score(self._take_ready() or self._generate(self._num_first, step))
        while (missing := num_missing(groups, algorithm)) and refills < algorithm.dynamic_sampling.max_refills:
            refills += 1
            groups += self._score(self._generate(num_prompts_to_request(missing, algorithm.dynamic_sampling), step, refill=refills))
        self._watch.check(step, flatten(groups))
        selection = select(groups, algorithm)
        check_selection(selection, algorithm, step=step)
        scored = flatten(selection.trained)
        metrics = staleness(scored, step, at_most=self._config.rollout.max_staleness) | {"epoch": self._prompts.position().epoch}
        metrics |= selection_metrics(selection, refills=refills) if algorithm.dynamic_sampling.enabled else {}
        self._start_next_step(step + 1)
        return StepSamples(scored, SampleAccounting(in_flight, self._num_dispatched, selection.dropped, self._num_in_flight), metrics)

    def wait_for_generation(self) -> None:
        """Wait until the engines have finished what is ahead, as they must before their weights change."""
        if self._generation is not None:
            with self._phase("generate"):
                self._ready, self._generation = self._engines.collect(self._generation), None

    def position(self) -> StreamPosition:
        """Where the prompts of the next step begin; what is in flight comes from behind it."""
        return self._next_position or self._prompts.position()

    def save(self, folder: Path) -> None:
        """Put the samples that are in flight into a checkpoint: they come from weights that it does not hold."""
        self.wait_for_generation()
        if self._ready:
            write_completions(folder / IN_FLIGHT_FILE, [sample.completion for sample in self._ready])

    def restore(self, position: StreamPosition, folder: Path, *, allow_change: bool = False) -> None:
        """Go on from a position and with the samples that were in flight there; the inverse of `position` and `save`.

        A run that shall no longer be ahead asks their prompts again, and so does one whose data or groups may be others by `allow_change`.

        Raises:
            BadData: the samples are not of the prompts at that position, or of other settings.
        """
        is_same = self._prompts.restore(position, allow_change=allow_change)
        if not self._config.rollout.max_staleness or not is_same or not (folder / IN_FLIGHT_FILE).exists():
            return
        completions, size = read_completions(folder / IN_FLIGHT_FILE), self._config.algorithm.samples_per_prompt
        prompts = [prompt for prompt in self._prompts.take(len(completions) // size) for _ in range(size)]
        if [prompt.expanded_ids for prompt in prompts] != [completion.prompt_ids for completion in completions]:
            if allow_change:
                logger.warning(
                    "%d samples in flight are not %d for each of the next prompts: these are asked again", len(completions), size
                )
                self._prompts.restore(position)
                return
            raise BadData(
                f"{folder} holds {len(completions)} samples in flight that are not {size} for each of the next prompts: resume with "
                f"algorithm.samples_per_prompt and the data that the run had"
            )
        self._ready = [Sample(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]
        self._next_position, self._num_in_flight = position, len(completions)

    @property
    def _num_first(self) -> int:
        """Prompts of a step that are asked at first."""
        return num_prompts_to_request(self._config.algorithm.prompts_per_step, self._config.algorithm.dynamic_sampling)

    def _take_ready(self) -> list[Sample]:
        """What was generated ahead for this step."""
        self.wait_for_generation()
        ready, self._ready, self._next_position = self._ready, [], None
        return ready

    def _start_next_step(self, step: int) -> None:
        """Begin to generate for a step, where generation is ahead and the run has that step."""
        if self._config.rollout.max_staleness and step < self._config.run.steps:
            self._next_position = self._prompts.position()
            prompts = self._ask(self._num_first)
            self._num_in_flight = len(prompts) * self._config.algorithm.samples_per_prompt
            self._generation = self._start(prompts, step)

    def _generate(self, num_prompts: int, step: int, *, refill: int = 0) -> list[Sample]:
        prompts = self._ask(num_prompts)
        with self._phase("generate"), self._engines.awake():
            return self._engines.collect(self._start(prompts, step, refill=refill))

    def _ask(self, num_prompts: int) -> list[Prompt]:
        with self._phase("prompts"):
            prompts = self._prompts.take(num_prompts)
        self._num_dispatched += num_prompts * self._config.algorithm.samples_per_prompt
        return prompts

    def _start(self, prompts: list[Prompt], step: int, *, refill: int = 0) -> Generation:
        """The seed is the same in a resumed run."""
        seed = self._config.run.seed * 1_000_003 + step + refill * REFILL_SEEDS
        return self._engines.start(prompts, samples=self._config.algorithm.samples_per_prompt, sampling=self._sampling, seed=seed)

    def _score(self, samples: list[Sample]) -> list[Group]:
        with self._phase("score"):
            return in_groups(score(self._rewards, samples), self._config.algorithm.samples_per_prompt)


def staleness(scored: list[Scored], step: int, *, at_most: int) -> dict[str, float]:
    """By how many updates the weights that a sample was drawn from are older than those that learn from it.

    Raises:
        RuntimeError: a sample is older than `at_most`: an internal error.
    """
    ages = [step - one.sample.completion.weight_version for one in scored]
    if not 0 <= min(ages) <= max(ages) <= at_most:
        raise RuntimeError(f"step {step + 1} has samples that are {min(ages)} to {max(ages)} updates old, allowed are 0 to {at_most}")
    return {"staleness/mean": fmean(ages), "staleness/max": float(max(ages))}
