"""A model asked for log-probabilities and values, without an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from megatron.core.transformer.module import MegatronModule
from torch import Tensor

from lmm_r1_mega.batching.packing import pack
from lmm_r1_mega.config import Config
from lmm_r1_mega.data.chat.vision_spec import vision_spec_of
from lmm_r1_mega.families.registry import read_shape
from lmm_r1_mega.models.device import this_device, training_device
from lmm_r1_mega.schema import PackedBatch, Sequence, TokenStats
from lmm_r1_mega.training import parallel, pipeline
from lmm_r1_mega.training.batch_targets import by_sequence, on_device
from lmm_r1_mega.training.vocab_parallel import TokenScores, token_scores

T = TypeVar("T")

FP8_TOKENS = 16  # Transformer Engine's FP8 products need dimensions that are multiples of it


class ForwardPass:
    """This rank's share of a model, forward only.

    Methods are collective over the trainer's ranks. `microbatches` are those of this data rank: each a list of sequences that are packed
    into one micro-batch. Results come in the order of microbatches and sequences, on the output rank; other ranks get None.
    """

    def __init__(self, model: MegatronModule, hf_path: Path, config: Config) -> None:
        self._model = model
        self._spec, self._vocab_size = vision_spec_of(hf_path), read_shape(hf_path).vocab_size
        self._length_multiple = _length_multiple(config)

    def logprobs(
        self, microbatches: list[list[Sequence]], *, temperature: float, forbidden_ids: tuple[int, ...] = ()
    ) -> list[list[TokenStats]] | None:
        """Log-probability and entropy of every response token at a temperature, among the tokens that are not forbidden."""

        def read(microbatch: PackedBatch, sequences: list[Sequence], output: Tensor) -> list[TokenStats]:
            scores = self.scores(microbatch, output, temperature=temperature, forbidden_ids=forbidden_ids)
            pairs = zip(
                by_sequence(microbatch, sequences, scores.logprobs), by_sequence(microbatch, sequences, scores.entropy), strict=True
            )
            return [TokenStats(response_logprobs=logprobs, response_entropy=entropy) for logprobs, entropy in pairs]

        return self._ask(microbatches, read)

    def values(self, microbatches: list[list[Sequence]]) -> list[list[Tensor]] | None:
        """The critic's value before every response token, one [response] tensor a sequence."""
        return self._ask(microbatches, lambda microbatch, sequences, output: by_sequence(microbatch, sequences, output.float()))

    def scores(self, microbatch: PackedBatch, logits: Tensor, *, temperature: float, forbidden_ids: tuple[int, ...] = ()) -> TokenScores:
        """Log-probability and entropy at the loss positions of a microbatch, from this rank's logits; collective over tensor ranks."""
        shard = parallel.vocab_shard_of(logits.shape[1], vocab_size=self._vocab_size, forbidden_ids=forbidden_ids)
        return token_scores(logits, microbatch.labels[microbatch.loss_mask], shard=shard, temperature=temperature)

    def packed(self, microbatches: list[list[Sequence]]) -> Iterator[PackedBatch]:
        """Micro-batches for this rank's stage, each made when it is needed."""
        with_images = parallel.is_first_stage()
        for sequences in microbatches:
            microbatch = pack(sequences, spec=self._spec, multiple_of=self._length_multiple)
            yield on_device(microbatch, training_device(), with_images=with_images)

    def _ask(self, microbatches: list[list[Sequence]], read: Callable[[PackedBatch, list[Sequence], Tensor], T]) -> list[T] | None:
        sequences = same_number(microbatches)
        answers = pipeline.forward(
            self._model,
            self.packed(sequences),
            num_microbatches=len(sequences),
            read=lambda index, microbatch, output: read(microbatch, sequences[index], output),
        )
        return answers[: len(microbatches)] if parallel.returns_results() else None


def same_number(microbatches: list[list[T]]) -> list[list[T]]:
    """This rank's microbatches and as many empty ones as it takes for every data rank to run the same number of micro-batches; collective.

    Raises: ValueError where no rank has a microbatch.
    """
    num_microbatches = parallel.largest_over_data_ranks(len(microbatches))
    if not num_microbatches:
        raise ValueError("no data rank has a microbatch: give at least one")
    return microbatches + [[]] * (num_microbatches - len(microbatches))


def _length_multiple(config: Config) -> int:
    """What a microbatch's length must be a multiple of: sequence parallelism cuts it into equal parts."""
    parts = config.layout.tensor if config.layout.sequence_parallel else 1
    return parts * (FP8_TOKENS if this_device().precision(config.model.precision) == "fp8" else 1)
