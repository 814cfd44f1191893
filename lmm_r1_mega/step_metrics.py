"""The figures of a step that come from its samples, named as they appear in metrics.jsonl (TRL's names where TRL has one)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from lmm_r1_mega.errors import SamplesLost
from lmm_r1_mega.schema import Scored, UpdateReport


def sample_metrics(scored: list[Scored], *, dispatched: int, trained: int) -> dict[str, float]:
    """Rewards by component and source, lengths, truncation, invalid samples by reason, and the conservation of samples.

    Raises:
        SamplesLost: the `dispatched` samples are not those that were `trained` and those without a verdict together.
    """
    completions = [one.sample.completion for one in scored]
    lengths = [len(completion.response_ids) for completion in completions]
    valid = [one for one in scored if one.score.invalid is None]
    if dispatched != trained + len(scored) - len(valid):
        raise SamplesLost(f"{dispatched} samples were asked for, {trained} are trained and {len(scored) - len(valid)} have no verdict")
    reasons = Counter(one.score.invalid for one in scored if one.score.invalid is not None)
    return {
        "completions/mean_length": fmean(lengths),
        "completions/min_length": float(min(lengths)),
        "completions/max_length": float(max(lengths)),
        "completions/clipped_ratio": fmean(completion.finish_reason == "length" for completion in completions),
        **{f"rewards/{name}/mean": mean for name, mean in _means((name, part) for one in valid for name, part in one.score.parts.items())},
        **{f"reward/source/{name}": mean for name, mean in _means((one.sample.prompt.source, one.score.reward or 0.0) for one in valid)},
        "samples/dispatched": float(dispatched),
        "samples/trained": float(trained),
        "samples/invalid": float(len(scored) - len(valid)),
        **{f"invalid/{reason}": float(count) for reason, count in sorted(reasons.items())},
    }


def update_metrics(policy: list[UpdateReport], critic: list[UpdateReport]) -> dict[str, float]:
    """Means over the optimizer steps of a step; the critic's carry the prefix `critic/`."""
    return _report_means(policy) | {f"critic/{name}": value for name, value in _report_means(critic).items()}


def _report_means(reports: list[UpdateReport]) -> dict[str, float]:
    rows = [{"loss": one.loss, "grad_norm": one.grad_norm, "learning_rate": one.learning_rate} | one.metrics for one in reports]
    return dict(_means((name, value) for row in rows for name, value in row.items()))


def _means(pairs: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """Mean of the values of each name, in the order of first appearance."""
    groups: dict[str, list[float]] = {}
    for name, value in pairs:
        groups.setdefault(name, []).append(value)
    return [(name, fmean(values)) for name, values in groups.items()]


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
