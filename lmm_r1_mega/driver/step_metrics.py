"""The figures of a step that come from its samples, named as they appear in metrics.jsonl (TRL's names where TRL has one)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from statistics import fmean
from typing import Any

from lmm_r1_mega.driver.unscored import unscored
from lmm_r1_mega.errors import SamplesLost
from lmm_r1_mega.rewards.rules.names import is_right
from lmm_r1_mega.schema import Scored, UpdateReport

SUMMARIES: dict[str, Callable[[list[float]], float]] = {"min": min, "max": max}
"""How figures of several optimizer steps whose names end so are taken together."""


@dataclass(frozen=True)
class SampleAccounting:
    """What became of the samples that engines were asked for, beside those that a step trains."""

    in_flight_before: int
    """Asked for in the step before, for this one."""
    dispatched: int
    """Asked for in this step."""
    dropped: Mapping[str, list[Scored]] = field(default_factory=dict)
    """Whole groups that are not trained, by reason."""
    in_flight: int = 0
    """Asked for in this step, for the next one."""


def sample_metrics(scored: list[Scored], accounting: SampleAccounting, *, trained: int) -> dict[str, float]:
    """Rewards by component and source, lengths, truncation, invalid samples by reason, and the conservation of samples.

    Raises:
        SamplesLost: the samples that were asked for are not those that are trained, dropped, unscored or in flight.
    """
    completions = [one.sample.completion for one in scored]
    lengths = [len(completion.response_ids) for completion in completions]
    valid = [one for one in scored if one.score.invalid is None]
    return {
        "completions/mean_length": fmean(lengths),
        "completions/min_length": float(min(lengths)),
        "completions/max_length": float(max(lengths)),
        "completions/clipped_ratio": fmean(completion.finish_reason == "length" for completion in completions),
        **_lengths_by_verdict(valid),
        **{f"rewards/{name}/mean": mean for name, mean in _means((name, part) for one in valid for name, part in one.score.parts.items())},
        **{f"reward/source/{name}": mean for name, mean in _means((one.sample.prompt.source, one.score.reward or 0.0) for one in valid)},
        **conservation(scored, accounting, trained=trained),
    }


def conservation(scored: list[Scored], accounting: SampleAccounting, *, trained: int) -> dict[str, float]:
    """Where the samples of a step went. An unscored one counts as invalid, whether its group is trained or not.

    Raises:
        SamplesLost: some are nowhere, or there are more than were asked for.
    """
    judged = [*scored, *chain.from_iterable(accounting.dropped.values())]
    reasons = unscored(one.score for one in judged)
    dropped = {reason: sum(one.score.invalid is None for one in samples) for reason, samples in accounting.dropped.items()}
    asked, num_invalid, num_dropped = accounting.in_flight_before + accounting.dispatched, reasons.total(), sum(dropped.values())
    if asked != trained + num_invalid + num_dropped + accounting.in_flight:
        raise SamplesLost(
            f"{asked} samples were asked for, {trained} are trained, {num_invalid} have no verdict, {num_dropped} are dropped "
            f"and {accounting.in_flight} in flight"
        )
    return {
        "samples/dispatched": float(accounting.dispatched),
        "samples/trained": float(trained),
        "samples/invalid": float(num_invalid),
        **{f"samples/{reason}": float(count) for reason, count in dropped.items()},
        "samples/in_flight": float(accounting.in_flight),
        **{f"invalid/{reason}": float(count) for reason, count in sorted(reasons.items())},
    }


def update_metrics(policy: list[UpdateReport], critic: list[UpdateReport]) -> dict[str, float]:
    """Figures of all optimizer steps of a step; the critic's carry the prefix `critic/`."""
    return _report_means(policy) | {f"critic/{name}": value for name, value in _report_means(critic).items()}


def _lengths_by_verdict(valid: list[Scored]) -> dict[str, float]:
    """Mean length of right and of wrong responses, where a reward tells them apart."""
    names = {True: "correct", False: "wrong"}
    judged = ((is_right(one.score.parts), len(one.sample.completion.response_ids)) for one in valid)
    means = _means((names[right], length) for right, length in judged if right is not None)
    return {f"completions/mean_length_{name}": mean for name, mean in means}


def _report_means(reports: list[UpdateReport]) -> dict[str, float]:
    """Over the optimizer steps: means, of minima the least, of maxima the greatest."""
    rows = [{"loss": one.loss, "grad_norm": one.grad_norm, "learning_rate": one.learning_rate} | one.metrics for one in reports]
    columns = _by_name((name, value) for row in rows for name, value in row.items())
    return {name: SUMMARIES.get(name.rpartition("/")[2], fmean)(values) for name, values in columns.items()}


def _means(pairs: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """Mean of the values of each name, in the order of first appearance."""
    return [(name, fmean(values)) for name, values in _by_name(pairs).items()]


def _by_name(pairs: Iterable[tuple[str, float]]) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = {}
    for name, value in pairs:
        groups.setdefault(name, []).append(value)
    return groups


def rollout_rows(step: int, scored: list[Scored], *, images: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Samples as rows of rollouts.jsonl; `images` are files of the run's folder by prompt id."""
    return [
        {
            "step": step,
            "prompt_id": one.sample.prompt.id,
            "source": one.sample.prompt.source,
            "prompt": one.sample.prompt.text,
            "images": images[one.sample.prompt.id],
            "answer": one.sample.prompt.answer,
            "response": one.sample.completion.text,
            "finish_reason": one.sample.completion.finish_reason,
            "num_tokens": len(one.sample.completion.response_ids),
            "reward": one.score.reward,
            "parts": one.score.parts,
            "invalid": one.score.invalid,
        }
        for one in scored
    ]
