"""What the driver, the engines and the ranks send each other about samples: columns, cut into samples where they arrive."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import TypeVar

from torch import Tensor

from lmm_r1_mega.cluster.columns import Column
from lmm_r1_mega.schema import Completion, FinishReason, PolicyTarget, Prompt, PromptImages, Sequence, SFTTarget, ValueTarget

T = TypeVar("T")
Target = TypeVar("Target", PolicyTarget, ValueTarget, SFTTarget)


@dataclass(frozen=True, eq=False)
class MicrobatchSequences:
    """The micro-batches of a data rank."""

    microbatch_sizes: list[int]
    token_ids: Column
    prompt_lengths: list[int]
    image_sets: list[PromptImages | None]

    @classmethod
    def of(cls, microbatches: Items[Items[Sequence]]) -> MicrobatchSequences:
        """The inverse of `cut`."""
        sequences = list(chain.from_iterable(microbatches))
        return cls(
            microbatch_sizes=[len(microbatch) for microbatch in microbatches],
            token_ids=Column.of(one.token_ids for one in sequences),
            prompt_lengths=[one.prompt_length for one in sequences],
            image_sets=[one.images for one in sequences],
        )

    def cut(self) -> list[list[Sequence]]:
        """Sequences of a prompt share its `PromptImages`, as they did where they came from."""
        sequences = map(Sequence, self.token_ids.cut(), self.prompt_lengths, self.image_sets)
        return [list(islice(sequences, size)) for size in self.microbatch_sizes]


TargetColumns = Mapping[str, Column | None]
"""Name of a field of a target -> its numbers for all targets of a data rank; None where they have none."""


def target_columns(targets: Items[Target]) -> TargetColumns:
    """The targets without their sequences, which the ranks have already."""
    names = [name for name in vars(targets[0]) if name != "sequence"] if targets else []
    return {name: _column(name, [vars(target)[name] for target in targets]) for name in names}


def with_sequences(kind: type[Target], microbatches: list[list[Sequence]], columns: TargetColumns) -> list[list[Target]]:
    """The inverse of `target_columns`: a target for every sequence of the micro-batches."""
    fields_of_all = [repeat(None) if column is None else column.cut() for column in columns.values()]
    targets = map(kind, chain.from_iterable(microbatches), *fields_of_all)
    return [list(islice(targets, len(microbatch))) for microbatch in microbatches]


def _column(name: str, values: list[Tensor | None]) -> Column | None:
    present = [value for value in values if value is not None]
    if present and len(present) < len(values):
        raise ValueError(f"{len(present)} of {len(values)} targets have {name}: give all or none")
    return Column.of(present) if present else None


def result_column(results: list[list[Tensor]] | None) -> Column | None:
    """What a rank says about the sequences of its micro-batches, in their order; None where it is not the one to say it."""
    return None if results is None else Column.of(chain.from_iterable(results))


@dataclass(frozen=True, eq=False)
class Completions:
    """An engine's answers to some prompts, all samples one after the other. Prompts stay at home: their tokens are known there."""

    group_sizes: list[int]
    response_ids: Column
    response_logprobs: Column
    texts: list[str]
    finish_reasons: list[FinishReason]
    weight_versions: list[int]

    @classmethod
    def of(cls, groups: Items[Items[Completion]]) -> Completions:
        """The inverse of `cut`."""
        completions = list(chain.from_iterable(groups))
        return cls(
            group_sizes=[len(group) for group in groups],
            response_ids=Column.of(one.response_ids for one in completions),
            response_logprobs=Column.of(one.response_logprobs for one in completions),
            texts=[one.text for one in completions],
            finish_reasons=[one.finish_reason for one in completions],
            weight_versions=[one.weight_version for one in completions],
        )

    def cut(self, prompts: Items[Prompt]) -> list[list[Completion]]:
        """The completions of each of the prompts that were asked."""
        samples = zip(
            self.response_ids.cut(), self.response_logprobs.cut(), self.texts, self.finish_reasons, self.weight_versions, strict=True
        )
        return [
            [Completion(prompt.expanded_ids, *sample) for sample in islice(samples, size)]
            for prompt, size in zip(prompts, self.group_sizes, strict=True)
        ]
