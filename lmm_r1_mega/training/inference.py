"""A model asked for log-probabilities and values, without an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from megatron.core.transformer.module import MegatronModule
from torch import Tensor

from lmm_r1_mega.config import Config
from lmm_r1_mega.convert.shape import read_shape
from lmm_r1_mega.data.packing import pack
from lmm_r1_mega.data.vision_spec import VisionSpec
from lmm_r1_mega.models.device import resolve_precision, training_device
from lmm_r1_mega.schema import Row, Sequence, TokenStats
from lmm_r1_mega.training import parallel, pipeline
from lmm_r1_mega.training.row_targets import by_sequence, on_device
from lmm_r1_mega.training.vocab_parallel import TokenScores, token_scores

T = TypeVar("T")

FP8_TOKENS = 16  # Transformer Engine's FP8 products need dimensions that are multiples of it


class Inference:
    """This rank's share of a model, forward only.

    Methods are collective over the trainer's ranks. `rows` are those of this data rank: each a list of sequences that are packed
    into one micro-batch. Results come in the order of rows and sequences, on the reporter; other ranks get None.
    """

    def __init__(self, model: MegatronModule, hf_path: Path, config: Config) -> None:
        self._model = model
        self._spec, self._vocab_size = VisionSpec.load(hf_path), read_shape(hf_path).vocab_size
        self._row_multiple = _row_multiple(config)

    def logprobs(
        self, rows: list[list[Sequence]], *, temperature: float, forbidden_ids: tuple[int, ...] = ()
    ) -> list[list[TokenStats]] | None:
        """Log-probability and entropy of every response token at a temperature, among the tokens that are not forbidden."""

        def read(row: Row, sequences: list[Sequence], output: Tensor) -> list[TokenStats]:
            scores = self.scores(row, output, temperature=temperature, forbidden_ids=forbidden_ids)
            pairs = zip(by_sequence(row, sequences, scores.logprobs), by_sequence(row, sequences, scores.entropy), strict=True)
            return [TokenStats(response_logprobs=logprobs, response_entropy=entropy) for logprobs, entropy in pairs]

        return self._ask(rows, read)

    def values(self, rows: list[list[Sequence]]) -> list[list[Tensor]] | None:
        """The critic's value before every response token, one [response] tensor a sequence."""
        return self._ask(rows, lambda row, sequences, output: by_sequence(row, sequences, output.float()))

    def scores(self, row: Row, logits: Tensor, *, temperature: float, forbidden_ids: tuple[int, ...] = ()) -> TokenScores:
        """Log-probability and entropy at the trained places of a row, from this rank's logits; collective over tensor ranks."""
        shard = parallel.vocab_shard_of(logits.shape[1], vocab_size=self._vocab_size, forbidden_ids=forbidden_ids)
        return token_scores(logits, row.labels[row.loss_mask], shard=shard, temperature=temperature)

    def packed(self, rows: list[list[Sequence]]) -> Iterator[Row]:
        """Micro-batches for this rank's stage, each made when it is needed."""
        with_images = parallel.is_first_stage()
        for sequences in rows:
            row = pack(sequences, spec=self._spec, multiple_of=self._row_multiple)
            yield on_device(row, training_device(), with_images=with_images)

    def _ask(self, rows: list[list[Sequence]], read: Callable[[Row, list[Sequence], Tensor], T]) -> list[T] | None:
        sequences = same_number(rows)
        answers = pipeline.forward(
            self._model,
            self.packed(sequences),
            num_rows=len(sequences),
            read=lambda index, row, output: read(row, sequences[index], output),
        )
        return answers[: len(rows)] if parallel.is_reporter() else None


def same_number(rows: list[list[T]]) -> list[list[T]]:
    """This rank's rows and as many empty ones as it takes for every data rank to run the same number of micro-batches; collective.

    Raises: ValueError where no rank has a row.
    """
    num_rows = parallel.largest_over_data_ranks(len(rows))
    if not num_rows:
        raise ValueError("no data rank has a row: give at least one")
    return rows + [[]] * (num_rows - len(rows))


def _row_multiple(config: Config) -> int:
    """What a row's length must be a multiple of: sequence parallelism cuts it into equal parts."""
    parts = config.layout.tensor if config.layout.sequence_parallel else 1
    return parts * (FP8_TOKENS if resolve_precision(config.model.precision) == "fp8" else 1)
