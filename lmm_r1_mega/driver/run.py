"""Everything a training run holds: processes, data position, folder; opened together and closed together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lmm_r1_mega.algorithms.controllers import Controllers, make_controllers
from lmm_r1_mega.algorithms.trajectories import Advantages
from lmm_r1_mega.cluster.engines import RolloutEngines
from lmm_r1_mega.cluster.placement import Placement, describe, machines, place_processes
from lmm_r1_mega.cluster.reward_models import RewardModels
from lmm_r1_mega.cluster.session import ray_session
from lmm_r1_mega.cluster.trainers import Trainers
from lmm_r1_mega.config import Config
from lmm_r1_mega.config.reading import to_yaml
from lmm_r1_mega.convert.checkpoints import check_weight_files
from lmm_r1_mega.convert.megatron_folder import missing_files
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.stream.files import PromptFile
from lmm_r1_mega.data.stream.stream import PromptStream, StreamPosition
from lmm_r1_mega.driver.evaluate import SetAccuracy, check_measurable, check_scorable, evaluate
from lmm_r1_mega.driver.learning import REFERENCE, Annotated, Updates, mismatch_metrics
from lmm_r1_mega.driver.rollouts import Rollouts, StepSamples
from lmm_r1_mega.driver.step_metrics import rollout_rows, sample_metrics, update_metrics
from lmm_r1_mega.driver.unscored import trial_samples, try_reward_models, try_text_rewards
from lmm_r1_mega.errors import naming_storage_errors
from lmm_r1_mega.families.registry import read_shape
from lmm_r1_mega.models.reward_model import kind_of
from lmm_r1_mega.planning.checks import check_overlap, check_run, gpus_needed
from lmm_r1_mega.process.progress import is_asked_to_stop, stop_if_asked
from lmm_r1_mega.record.checkpoints import STATE_FILE
from lmm_r1_mega.record.folder import Checkpoint
from lmm_r1_mega.record.run_logger import RunLogger, open_run_logger
from lmm_r1_mega.rewards.total import Rewards, rewards_of
from lmm_r1_mega.rewards.workers.pool import RewardPool
from lmm_r1_mega.schema import Role


@dataclass
class Run:
    """A run in progress."""

    config: Config
    logger: RunLogger
    rollouts: Rollouts
    held_out: Mapping[str, PromptFile]
    rewards: Rewards
    trainers: Trainers
    engines: RolloutEngines
    controllers: Controllers
    forbidden_ids: tuple[int, ...]
    """Tokens that are never sampled."""
    merge_size: int
    """Patches along one side of the square that becomes an image token."""
    first_step: int = 0

    def record(self, step: int, samples: StepSamples, annotated: Annotated, advantages: Advantages, updates: Updates) -> None:
        """Write the row and the samples of a finished step."""
        row = (
            sample_metrics(samples.scored, samples.accounting, trained=int(annotated.valid.sum()))
            | mismatch_metrics(annotated, updates)
            | update_metrics([one.report for one in updates.policy], updates.critic)
        )
        row |= advantages.metrics  # kl among them is of before the updates: exactly 0 in the first step
        row |= samples.metrics | self.controllers.metrics()
        recorded = samples.scored[: self.config.run.record_samples]
        images = self.logger.images((one.sample.prompt for one in recorded), merge_size=self.merge_size)
        self.logger.samples(rollout_rows(step + 1, recorded, images=images))
        self.logger.step(step + 1, row, num_tokens=int(annotated.lengths.sum()))

    def save_if_due(self, done: int) -> None:
        """A checkpoint after every `run.save_every` steps, after the last, and where the run is asked to stop, which it then does."""
        if is_asked_to_stop() or is_due(done, self.config.run.save_every, last=self.config.run.steps):
            state = {
                "step": done,
                "position": asdict(self.rollouts.position()),
                "controllers": self.controllers.state(),
                "rewards": self.rewards.state(),
            }
            with self.logger.phase("save"), self.logger.folder.checkpoint(done, keep=self.config.run.keep_checkpoints) as folder:
                self.rollouts.save(folder)
                save(self.logger, self.trainers, state, roles=roles(self.config), folder=folder)
            stop_if_asked(done)

    def evaluate_if_due(self, done: int) -> None:
        """Held-out accuracy before the first step, after every `run.eval_every` steps and after the last."""
        if self.config.run.eval_every and (done == 0 or is_due(done, self.config.run.eval_every, last=self.config.run.steps)):
            self.logger.evaluation(done, {name: asdict(found) for name, found in self._evaluate().items()})

    def _evaluate(self) -> dict[str, SetAccuracy]:
        settings = self.config.run
        with self.logger.phase("evaluate"), self.engines.awake():
            return {
                name: evaluate(
                    self.engines, self.rewards, prompts, self.config.rollout, samples=settings.eval_samples, seed=settings.seed
                ).accuracy
                for name, prompts in self.held_out.items()
            }


@contextmanager
def open_run(config: Config, *, resume: Checkpoint | None = None, allow_change: bool = False) -> Iterator[Run]:
    """Check the data, start the processes, and go on from a checkpoint where one is given; what is recorded stays until all is ready.

    Raises:
        ValueError: settings, data or model that cannot work, found before any process starts where possible.
        ProcessLost: a process did not start.
    """
    with ExitStack() as stack:
        check_run(config, read_shape(config.model.path), generates=True)
        check_weight_files(config.model.path)
        for folder in config.reward.models.values():
            kind_of(folder)
        if config.data.eval:
            check_measurable(config.reward)
        processor = Processor.load(config.model.path, min_pixels=config.data.min_pixels, max_pixels=config.data.max_pixels)
        prompts = PromptStream(config.data, processor, seed=config.run.seed)
        held_out = {name: PromptFile(path, config.data, processor) for name, path in config.data.eval.items()}
        pool = stack.enter_context(RewardPool(config.reward))
        check_scorable(pool, held_out)
        trials = trial_samples(prompts, pool)
        try_text_rewards(config.reward, pool, trials)
        run_logger = stack.enter_context(
            open_run_logger(config, to_yaml(config), verb="train", resume_after=resume.step if resume else None)
        )
        with run_logger.phase("start"):
            stack.enter_context(ray_session(config.cluster, num_processes=gpus_needed(config, num_trainers=config.layout.num_ranks)))
            placement = place_processes(config, num_trainers=config.layout.num_ranks)
            say_where(run_logger, placement)
            check_overlap(config, has_gpus=placement.has_gpus)
            max_images = max([prompts.max_images, *(rows.max_images for rows in held_out.values())])
            engines = RolloutEngines(config, placement, config.model.path, max_images=max_images)
            engines.make_room()
            trainers = Trainers(config, placement)
            load_models(config, trainers)
            models = RewardModels(config, placement).scores if config.reward.models else None
            if models:
                try_reward_models(models, trials)
            rewards = rewards_of(config.reward, pool, models=models, seed=config.run.seed)
            rollouts = Rollouts(config, prompts, engines, rewards, phase=run_logger.phase)
            controllers, merge_size = make_controllers(config), processor.spec.merge_size
            run = Run(config, run_logger, rollouts, held_out, rewards, trainers, engines, controllers, processor.forbidden_ids, merge_size)
            if resume and resume.step:
                restore(run, resume, allow_change=allow_change)
            engines.wait_until_ready()
            with engines.awake():
                trainers.publish(engines.actors, version=run.first_step)
            if resume:
                run_logger.go_on(config, to_yaml(config), after=resume.step)
        yield run


def say_where(run_logger: RunLogger, placement: Placement) -> None:
    """Print what runs on which machine, where there are several."""
    for line in describe(placement, machines()):
        run_logger.console.message(line)


def load_models(config: Config, trainers: Trainers) -> None:
    """The policy, its reference snapshot and the critic, as far as the algorithm has them."""
    per_step = config.algorithm.epochs * config.algorithm.optimizer_steps
    waiting = config.critic.warmup_steps if "critic" in roles(config) else 0
    trainers.load("policy", config.model.path, total_steps=max(1, config.run.steps - waiting) * per_step)
    if config.algorithm.needs_reference:
        trainers.take_snapshot(REFERENCE)
    if "critic" in roles(config):
        trainers.load("critic", config.critic.path or config.model.path, total_steps=config.run.steps * per_step)


def roles(config: Config) -> tuple[Role, ...]:
    """Models that are trained."""
    return ("policy", "critic") if config.algorithm.needs_critic else ("policy",)


def is_due(done: int, every: int, *, last: int) -> bool:
    """Whether something that happens every so many steps, and after the last, happens now."""
    return done == last or bool(every and done % every == 0)


def save(run_logger: RunLogger, trainers: Trainers, state: dict[str, Any], *, roles: tuple[Role, ...], folder: Path) -> None:
    """Write what the trainer and the driver have into the folder of a checkpoint.

    Raises:
        ValueError: a rank wrote its part where this machine does not see it; older checkpoints stay.
    """
    trainers.save({role: folder / role for role in roles})
    missing = [f"{role}/{name}" for role in roles for name in missing_files(folder / role)]
    if missing:
        raise ValueError(
            f"run.folder {run_logger.folder.path} is not the same folder on all machines, {missing[0]} of a checkpoint is not here: "
            f"choose one on a shared file system"
        )
    (folder / STATE_FILE).write_text(json.dumps(state, indent=2), encoding="utf-8")


def export(run_logger: RunLogger, trainers: Trainers) -> None:
    """Write the final model as a Hugging Face folder; one of an earlier end of the run is replaced."""
    with run_logger.phase("export"), naming_storage_errors(run_logger.folder.hf):
        trainers.export_hf(run_logger.folder.hf)


def restore(run: Run, checkpoint: Checkpoint, *, allow_change: bool = False) -> None:
    """Go on from a checkpoint: weights, optimizer, data position, samples in flight. The inverse of `Run.save_if_due`."""
    state = read_state(checkpoint)
    run.trainers.restore({role: checkpoint.path / role for role in roles(run.config)})
    run.rollouts.restore(StreamPosition(**state["position"]), checkpoint.path, allow_change=allow_change)
    run.controllers.restore(state["controllers"])
    run.rewards.restore(state["rewards"])
    run.first_step = state["step"]


def read_state(checkpoint: Checkpoint) -> dict[str, Any]:
    """The driver's part of a checkpoint."""
    return json.loads((checkpoint.path / STATE_FILE).read_text(encoding="utf-8"))
