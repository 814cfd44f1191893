"""One model on this rank, trained and asked: what the driver calls."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor

from lmm_r1_mega.algorithms.losses import PolicyLoss
from lmm_r1_mega.config import Config
from lmm_r1_mega.errors import NotFinite
from lmm_r1_mega.models.build import build_model
from lmm_r1_mega.schema import PackedBatch, PolicyTarget, Role, Sequence, SFTTarget, TokenStats, UpdateReport, ValueTarget
from lmm_r1_mega.training import optimizer as adamw
from lmm_r1_mega.training import parallel, pipeline
from lmm_r1_mega.training.batch_targets import by_sequence, policy_tokens, sft_weights, value_tokens
from lmm_r1_mega.training.checkpoint import Trained, load_checkpoint, save_checkpoint
from lmm_r1_mega.training.export import WeightExport, write_hf
from lmm_r1_mega.training.forward_pass import ForwardPass, same_number
from lmm_r1_mega.training.objectives import Objective, means, policy_objective, sft_objective, value_objective
from lmm_r1_mega.training.schedule import learning_rate_share
from lmm_r1_mega.training.snapshots import Snapshots

Target = TypeVar("Target", PolicyTarget, ValueTarget, SFTTarget)


class TrainEngine:
    """This rank's share of a policy or a critic, with its optimizer.

    Every method is collective over the trainer's ranks. `microbatches` are those of this data rank: each a list of sequences that are
    packed into one micro-batch. Results come in the order of microbatches and sequences, on the output rank; other ranks get None. Several
    engines may live in one process.
    """

    def __init__(self, hf_path: Path, *, role: Role, config: Config, total_steps: int) -> None:
        """Build the model from a Hugging Face folder; `total_steps` optimizer steps are the length of the schedule."""
        self._hf_path, self._total_steps = Path(hf_path), total_steps
        rate = {"learning_rate": config.critic.learning_rate} if role == "critic" else {}
        self._settings = config.optimizer.model_copy(update=rate)
        self._module = build_model(self._hf_path, model=config.model, layout=config.layout, role=role)
        self._model = pipeline.wrap_for_sums(self._module, config.layout)
        self._optimizer = adamw.build_optimizer(self._model, self._settings, params_dtype=self._module.config.params_dtype)
        self._forward_pass = ForwardPass(self._model, self._hf_path, config)
        self._snapshots = Snapshots(self._module)
        self._steps_done = 0

    @property
    def returns_results(self) -> bool:
        """Whether the driver reads this rank's results."""
        return parallel.returns_results()

    def logprobs(
        self, microbatches: list[list[Sequence]], *, temperature: float, forbidden_ids: tuple[int, ...] = ()
    ) -> list[list[TokenStats]] | None:
        """Log-probability and entropy of every response token at a temperature, among the tokens that are not forbidden.

        The numbers of a microbatch are bitwise those that `update_policy` computes for the same sequences in a microbatch.
        """
        return self._forward_pass.logprobs(microbatches, temperature=temperature, forbidden_ids=forbidden_ids)

    def values(self, microbatches: list[list[Sequence]]) -> list[list[Tensor]] | None:
        """The critic's value before every response token, one [response] tensor a sequence."""
        return self._forward_pass.values(microbatches)

    def update_policy(
        self, microbatches: list[list[PolicyTarget]], loss: PolicyLoss
    ) -> tuple[UpdateReport, list[list[Float[Tensor, "response"]]] | None]:
        """One optimizer step of the policy, and the log-probabilities that every response had before it.

        The report is the same on every rank; the log-probabilities come in the order of microbatches and sequences, on the output rank.
        """
        before: list[list[Tensor]] = []

        def objective(microbatch: PackedBatch, targets: list[PolicyTarget], output: Tensor) -> Objective:
            scores = self._forward_pass.scores(microbatch, output, temperature=loss.temperature, forbidden_ids=loss.forbidden_ids)
            before.append(by_sequence(microbatch, [target.sequence for target in targets], scores.logprobs.detach()))
            return policy_objective(scores, policy_tokens(microbatch, targets), loss)

        report = self._update(microbatches, objective)
        return report, before[: len(microbatches)] if self.returns_results else None

    def update_values(self, microbatches: list[list[ValueTarget]], *, value_clip: float) -> UpdateReport:
        """One optimizer step of the critic; the report is the same on every rank."""

        def objective(microbatch: PackedBatch, targets: list[ValueTarget], output: Tensor) -> Objective:
            return value_objective(output.float(), value_tokens(microbatch, targets), clip=value_clip)

        return self._update(microbatches, objective)

    def update_sft(self, microbatches: list[list[SFTTarget]]) -> UpdateReport:
        """One optimizer step on demonstrations; the report is the same on every rank."""

        def objective(microbatch: PackedBatch, targets: list[SFTTarget], output: Tensor) -> Objective:
            return sft_objective(self._forward_pass.scores(microbatch, output, temperature=1.0), sft_weights(microbatch, targets))

        return self._update(microbatches, objective)

    def take_snapshot(self, name: str) -> None:
        """Keep the present weights in host memory under a name."""
        self._snapshots.take(name)

    def weights(self, name: str) -> AbstractContextManager[None]:
        """Within the context the model has the weights of a snapshot; no update may happen inside."""
        return self._snapshots.weights(name)

    def save(self, folder: Path) -> None:
        """Write weights, optimizer, schedule and random state as a distributed checkpoint; the caller writes aside and renames."""
        save_checkpoint(folder, Trained(self._module, self._optimizer), steps_done=self._steps_done)

    def load(self, folder: Path) -> None:
        """Inverse of `save`, at this or another layout. Snapshots stay as they are."""
        self._steps_done = load_checkpoint(folder, Trained(self._module, self._optimizer))

    @cached_property
    def export(self) -> WeightExport:
        """Passes over all weights under their Hugging Face names; making it is collective."""
        return WeightExport(self._module, self._hf_path)

    def export_hf(self, folder: Path) -> None:
        """Write a Hugging Face folder: weights with index, config, tokenizer, processor, chat template."""
        write_hf(folder, self.export.tensors(), source=self._hf_path, dtype=self._module.config.params_dtype)

    def _update(
        self, microbatches: list[list[Target]], objective: Callable[[PackedBatch, list[Target], Tensor], Objective]
    ) -> UpdateReport:
        targets = same_number(microbatches)
        self._model.zero_grad_buffer()
        self._optimizer.zero_grad()
        objectives = pipeline.forward_backward(
            self._model,
            self._forward_pass.packed([[target.sequence for target in microbatch] for microbatch in targets]),
            num_microbatches=len(targets),
            objective=lambda index, microbatch, output: objective(microbatch, targets[index], output),
        )
        share = learning_rate_share(self._steps_done, settings=self._settings, total_steps=self._total_steps)
        learning_rate = self._settings.learning_rate * share
        adamw.set_rates(self._optimizer, learning_rate=learning_rate, weight_decay=self._settings.weight_decay)
        sums = parallel.sums_from_last_stage([{"loss": one.loss, **one.sums} for one in objectives])
        if not math.isfinite(sums["loss"]):
            raise NotFinite(f"the loss is {sums['loss']}")
        grad_norm = adamw.step(self._optimizer, grad_clip=self._settings.grad_clip)
        adamw.check_weights(self._module)
        self._steps_done += 1
        extremes = parallel.extremes_from_last_stage([one.extremes for one in objectives])
        return UpdateReport(loss=sums.pop("loss"), grad_norm=grad_norm, learning_rate=learning_rate, metrics=means(sums) | extremes)
