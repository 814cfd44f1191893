"""Supervised cold start: the trainer of reinforcement learning, fed with demonstrations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

import torch

from lmm_r1_mega.algorithms.weights import token_weights
from lmm_r1_mega.cluster.placement import place_processes
from lmm_r1_mega.cluster.session import ray_session
from lmm_r1_mega.cluster.trainers import Trainers
from lmm_r1_mega.config import Config
from lmm_r1_mega.config.reading import to_yaml
from lmm_r1_mega.convert.checkpoints import check_weight_files
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.stream.build import Demonstration
from lmm_r1_mega.data.stream.stream import DemonstrationStream, StreamPosition
from lmm_r1_mega.driver.learning import explaining_divergence
from lmm_r1_mega.driver.run import export, is_due, read_state, save, say_where
from lmm_r1_mega.driver.step_metrics import update_metrics
from lmm_r1_mega.families.registry import read_shape
from lmm_r1_mega.planning.checks import check_run, gpus_needed
from lmm_r1_mega.process.progress import is_asked_to_stop, stop_if_asked
from lmm_r1_mega.record.folder import Checkpoint
from lmm_r1_mega.record.run_logger import RunLogger, open_run_logger
from lmm_r1_mega.schema import Sequence, SFTTarget


@dataclass
class SupervisedRun:
    """A cold start in progress."""

    config: Config
    logger: RunLogger
    demonstrations: DemonstrationStream
    trainers: Trainers
    first_step: int = 0

    def save_if_due(self, done: int) -> None:
        """A checkpoint after every `run.save_every` steps, after the last, and where the run is asked to stop, which it then does."""
        if is_asked_to_stop() or is_due(done, self.config.run.save_every, last=self.config.run.steps):
            state = {"step": done, "position": asdict(self.demonstrations.position())}
            with self.logger.phase("save"), self.logger.folder.checkpoint(done, keep=self.config.run.keep_checkpoints) as folder:
                save(self.logger, self.trainers, state, roles=("policy",), folder=folder)
            stop_if_asked(done)


def train_supervised(config: Config, *, resume: Checkpoint | None = None, allow_change: bool = False) -> None:
    """Imitate the demonstrations of `data.train` for `run.steps` optimizer steps; folder and `allow_change` as in `train`."""
    with _open(config, resume=resume, allow_change=allow_change) as run:
        for step in range(run.first_step, config.run.steps):
            with run.logger.phase("demonstrations"):
                targets = as_targets(run.demonstrations.take(config.sft.batch_size))
            with run.logger.phase("update"), explaining_divergence(step, len(targets), config):
                report = run.trainers.update_sft(targets)
            num_tokens = sum(target.sequence.response_length for target in targets)
            run.logger.step(step + 1, update_metrics([report], []), num_tokens=num_tokens)
            run.save_if_due(step + 1)
        if config.run.export_hf:
            export(run.logger, run.trainers)
        run.logger.finish(steps=config.run.steps)


def as_targets(demonstrations: list[Demonstration]) -> list[SFTTarget]:
    """Demonstrations of one optimizer step; every answer token counts the same."""
    lengths = torch.tensor([len(one.response_ids) for one in demonstrations])
    valid = torch.ones(len(demonstrations), dtype=torch.bool)
    weights = token_weights(lengths, valid, "token", max_response_tokens=int(lengths.max()))
    return [SFTTarget(_sequence(one), weight.repeat(len(one.response_ids))) for one, weight in zip(demonstrations, weights, strict=True)]


def _sequence(one: Demonstration) -> Sequence:
    token_ids = torch.tensor([*one.prompt.expanded_ids, *one.response_ids])
    return Sequence(token_ids, len(one.prompt.expanded_ids), one.prompt.images)


@contextmanager
def _open(config: Config, *, resume: Checkpoint | None, allow_change: bool) -> Iterator[SupervisedRun]:
    with ExitStack() as stack:
        check_run(config, read_shape(config.model.path), generates=False)
        check_weight_files(config.model.path)
        processor = Processor.load(config.model.path, min_pixels=config.data.min_pixels, max_pixels=config.data.max_pixels)
        demonstrations = DemonstrationStream(
            config.data, processor, seed=config.run.seed, max_tokens=config.layout.max_tokens_per_microbatch
        )
        run_logger = stack.enter_context(open_run_logger(config, to_yaml(config), verb="sft", resume_after=resume.step if resume else None))
        trainers_only = gpus_needed(config, num_trainers=config.layout.num_ranks, engines=False)
        with run_logger.phase("start"):
            stack.enter_context(ray_session(config.cluster, num_processes=trainers_only))
            placement = place_processes(config, num_trainers=config.layout.num_ranks, engines=False)
            say_where(run_logger, placement)
            trainers = Trainers(config, placement)
            trainers.load("policy", config.model.path, total_steps=config.run.steps)
            run = SupervisedRun(config, run_logger, demonstrations, trainers)
            if resume and resume.step:
                state = read_state(resume)
                trainers.restore({"policy": resume.path / "policy"})
                demonstrations.restore(StreamPosition(**state["position"]), allow_change=allow_change)
                run.first_step = state["step"]
            if resume:
                run_logger.go_on(config, to_yaml(config), after=resume.step)
        yield run
