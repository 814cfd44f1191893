"""Held-out accuracy: every prompt answered several times by vLLM, and once greedily."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import fmean

from lmm_r1_mega.cluster.engines import RolloutEngines
from lmm_r1_mega.cluster.placement import place_processes
from lmm_r1_mega.cluster.session import ray_session
from lmm_r1_mega.config import Config, RewardSettings, RolloutSettings
from lmm_r1_mega.convert.checkpoints import check_weight_files
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.stream.files import PromptFile
from lmm_r1_mega.planning.checks import gpus_needed
from lmm_r1_mega.rewards.golds import scorable_rows
from lmm_r1_mega.rewards.rules.names import accuracy_rule
from lmm_r1_mega.rewards.total import Rewards
from lmm_r1_mega.rewards.workers.pool import RewardPool
from lmm_r1_mega.rollout.engine import Sampling
from lmm_r1_mega.schema import Prompt, Sample, Scored

PROMPTS_AT_A_TIME = 256
"""Prompts whose images are in memory together."""


@dataclass(frozen=True)
class SetAccuracy:
    """Accuracy on one held-out file, over the prompts whose gold answer can be judged.

    All figures have these in the denominator: a response that could not be judged (it was too long, say) counts as wrong.
    """

    accuracy: float
    """Mean over all samples."""
    pass_at_n: float
    """Mean over the prompts of the best of their samples; never below `accuracy`."""
    greedy: float
    """Mean over one greedy answer a prompt."""
    mean_length: float
    """Sampled response tokens."""
    truncated: float
    """Share of samples that the length limit cut."""
    num_prompts: int
    num_samples: int
    num_invalid: int
    """Samples that could not be judged."""
    num_unscorable: int
    """Prompts left out: their gold answer cannot be judged."""


@dataclass(frozen=True)
class Evaluation:
    """Accuracy on one held-out file, and the greedy answers for a reader."""

    accuracy: SetAccuracy
    greedy: list[Scored]


def check_measurable(settings: RewardSettings) -> None:
    """Raises ValueError where no component of the rewards tells right from wrong."""
    accuracy_rule(settings.weights)


def check_scorable(pool: RewardPool, held_out: Mapping[str, PromptFile]) -> None:
    """Raises BadData for a file in which no gold answer can be judged."""
    for name, prompts in held_out.items():
        scorable_rows(pool, prompts.answers, source=f"held-out file {name}")


def greedy_sampling(settings: RolloutSettings) -> Sampling:
    """One request with the likeliest token each time."""
    return Sampling(max_response_tokens=settings.max_response_tokens, temperature=0.0, stop=settings.stop)


def score(rewards: Rewards, samples: list[Sample]) -> list[Scored]:
    """Verdicts in the order of the samples."""
    return [Scored(one, verdict) for one, verdict in zip(samples, rewards.score(samples), strict=True)]


def evaluate(
    engines: RolloutEngines, rewards: Rewards, prompts: Iterable[Prompt], settings: RolloutSettings, *, samples: int, seed: int
) -> Evaluation:
    """Generate and score `samples` answers a prompt, and one greedy answer. Only this machine's rewards are asked.

    It goes by a few prompts at a time, and what it keeps has no images. That changes no answer: each depends on the seed, its
    prompt's id and its number alone.
    """
    rewards = rewards.local()
    sampled: list[Scored] = []
    greedy: list[Scored] = []
    num_unscorable = 0
    remaining = iter(prompts)
    while asked := list(islice(remaining, PROMPTS_AT_A_TIME)):
        problems = rewards.pool.gold_problems([prompt.answer for prompt in asked])
        some = [prompt for prompt, problem in zip(asked, problems, strict=True) if problem is None]
        num_unscorable += len(asked) - len(some)
        answers = engines.generate(some, samples=samples, sampling=Sampling.of(settings), seed=seed)
        likeliest = engines.generate(some, samples=1, sampling=greedy_sampling(settings), seed=seed)
        sampled += map(_without_images, score(rewards, answers))
        greedy += map(_without_images, score(rewards, likeliest))
    found = summarize(sampled, greedy, samples=samples, measure=rewards.pool.measure)
    return Evaluation(replace(found, num_unscorable=num_unscorable), greedy)


def _without_images(one: Scored) -> Scored:
    return replace(one, sample=replace(one.sample, prompt=replace(one.sample.prompt, images=None)))


def summarize(sampled: list[Scored], greedy: list[Scored], *, samples: int, measure: str) -> SetAccuracy:
    """Figures of one held-out file by the component `measure`. `sampled` holds `samples` neighbors for each entry of `greedy`."""
    verdicts = [one.score.parts.get(measure) for one in sampled]
    right = [verdict or 0.0 for verdict in verdicts]
    groups = [right[start : start + samples] for start in range(0, len(right), samples)]
    completions = [one.sample.completion for one in sampled]
    return SetAccuracy(
        accuracy=fmean(right),
        pass_at_n=fmean(max(group) for group in groups),
        greedy=fmean(one.score.parts.get(measure, 0.0) for one in greedy),
        mean_length=fmean(len(completion.response_ids) for completion in completions),
        truncated=fmean(completion.finish_reason == "length" for completion in completions),
        num_prompts=len(groups),
        num_samples=len(sampled),
        num_invalid=verdicts.count(None),
        num_unscorable=0,
    )


def evaluate_file(model_path: Path, data: Path, config: Config) -> Evaluation:
    """Start the rollout engines on a Hugging Face folder and evaluate it on one data file."""
    return evaluate_files(model_path, {data.stem: data}, config)[data.stem]


def evaluate_files(model_path: Path, files: Mapping[str, Path], config: Config) -> dict[str, Evaluation]:
    """Start the rollout engines on a Hugging Face folder once and evaluate it on each data file."""
    check_measurable(config.reward)
    check_weight_files(model_path)
    processor = Processor.load(model_path, min_pixels=config.data.min_pixels, max_pixels=config.data.max_pixels)
    held_out = {name: PromptFile(path, config.data, processor) for name, path in files.items()}
    max_images = max(prompts.max_images for prompts in held_out.values())
    samples, seed = config.run.eval_samples, config.run.seed
    with ExitStack() as stack:
        pool = stack.enter_context(RewardPool(config.reward))
        check_scorable(pool, held_out)
        stack.enter_context(ray_session(config.cluster, num_processes=gpus_needed(config, num_trainers=0)))
        engines = RolloutEngines(config, place_processes(config, num_trainers=0), model_path, max_images=max_images)
        engines.wait_until_ready()
        rewards = Rewards(pool, pool.weights)
        return {name: evaluate(engines, rewards, prompts, config.rollout, samples=samples, seed=seed) for name, prompts in held_out.items()}
