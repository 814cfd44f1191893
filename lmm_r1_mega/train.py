"""Reinforcement learning: the loop of `run_steps` is the algorithm."""

from __future__ import annotations

from lmm_r1_mega.config import Config
from lmm_r1_mega.driver.learning import adapt, annotate, estimate, explaining_divergence, policy_loss, update
from lmm_r1_mega.driver.run import Run, export, open_run
from lmm_r1_mega.record.folder import Checkpoint


def train(config: Config, *, resume: Checkpoint | None = None, allow_change: bool = False) -> None:
    """Train from the model's weights, or go on from a checkpoint of the same run; everything it writes is in `run.folder`.

    Who calls this has the `claim` of that folder. With `allow_change` the run goes on with other data than the checkpoint's, from their
    first row.
    """
    with open_run(config, resume=resume, allow_change=allow_change) as run:
        run_steps(run)
        if config.run.export_hf:
            export(run.logger, run.trainers)
        run.logger.finish(steps=config.run.steps)


def run_steps(run: Run) -> None:
    """Generate, score, learn, publish: once a step until the run has its steps."""
    config, phase = run.config, run.logger.phase
    if run.first_step == 0:
        run.evaluate_if_due(0)
    for step in range(run.first_step, config.run.steps):
        samples = run.rollouts.take(step)
        with phase("annotate"), explaining_divergence(step, len(samples.scored), config):
            annotated = annotate(run.trainers, samples.scored, config, forbidden_ids=run.forbidden_ids)
            advantages = estimate(annotated, config.algorithm, run.controllers)
        with phase("update"), explaining_divergence(step, len(samples.scored), config):
            loss = policy_loss(config, run.controllers, forbidden_ids=run.forbidden_ids, step=step)
            updates = update(run.trainers, annotated, advantages, config, loss=loss)
        run.rollouts.wait_for_generation()
        with phase("publish"), run.engines.awake():
            run.trainers.publish(run.engines.actors, version=step + 1)
        run.record(step, samples, annotated, advantages, updates)
        adapt(run.controllers, annotated, advantages, updates)
        run.evaluate_if_due(step + 1)
        run.save_if_due(step + 1)
