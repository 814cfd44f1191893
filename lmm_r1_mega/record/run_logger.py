"""The record of one run: what a loop says happens here, and reaches the files, the trackers and the console."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from lmm_r1_mega.config import Config
from lmm_r1_mega.data.images.previews import model_previews
from lmm_r1_mega.process import progress
from lmm_r1_mega.record.console import Console, open_console
from lmm_r1_mega.record.folder import RunFolder, RunVerb
from lmm_r1_mega.record.timing import BETWEEN_STEPS, PhaseTimer, shares
from lmm_r1_mega.record.trackers import Trackers, check_trackers
from lmm_r1_mega.schema import Prompt

Figures = Mapping[str, Mapping[str, float]]
"""Figures of each held-out file by name."""


@dataclass
class RunLogger:
    """Open record of a run in progress. Steps count finished ones: the first row has step 1."""

    folder: RunFolder
    console: Console
    timer: PhaseTimer
    trackers: Trackers
    """None of those that the settings name before the folder is the run's."""
    stack: ExitStack
    """What closes with the record."""
    started: float = field(default_factory=time.monotonic)

    def open_trackers(self, config: Config, *, first_step: int) -> None:
        """From now on, rows go to the trackers that the settings name, too."""
        settings = config.model_dump(mode="json")
        self.trackers = self.stack.enter_context(Trackers(config.run.trackers, self.folder, settings, first_step=first_step))

    def go_on(self, config: Config, config_yaml: str, *, after: int) -> None:
        """Take over the folder of a run that is ready to go on after a step; before this, nothing in it is changed."""
        self.open_trackers(config, first_step=after)
        for aside in self.folder.cut_after(after):
            self.console.message(f"a checkpoint that the run does not go on from is now {aside}: delete it when it is of no use any more")
        self.folder.write_config(config_yaml)

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Time a phase of the step, and name it to who watches while it lasts."""
        return self.timer.phase(name)

    def step(self, done: int, row: Mapping[str, float], *, num_tokens: int) -> None:
        """A finished step: one row of metrics.jsonl, to the trackers and the console too."""
        times = self.timer.take()
        full = {**row, **times, **shares(times), "perf/tokens_per_s": num_tokens / times["time/step"]}
        self.folder.append_metrics(done, full)
        self.trackers.log(done, full)
        self.console.step(done, full)
        progress.tell(step=done)

    def images(self, prompts: Iterable[Prompt], *, merge_size: int) -> dict[str, list[str]]:
        """Keeps the images of prompts in the run's folder, and says in which files, by prompt id."""
        distinct = {prompt.id: prompt.images for prompt in prompts}
        previews = {name: [] if vision is None else model_previews(vision, merge_size=merge_size) for name, vision in distinct.items()}
        return {name: [self.folder.keep_image(view) for view in of_prompt] for name, of_prompt in previews.items()}

    def samples(self, rows: list[dict[str, Any]]) -> None:
        """Samples of a step, for rollouts.jsonl."""
        self.folder.append_rollouts(rows)

    def evaluation(self, done: int, found: Figures) -> None:
        """Held-out figures after `done` steps."""
        row = {f"eval/{name}/{figure}": value for name, figures in found.items() for figure, value in figures.items()}
        self.folder.append_metrics(done, row)
        self.trackers.log(done, row)
        self.console.message(f"held out after {done} steps: " + ", ".join(_accuracy(name, figures) for name, figures in found.items()))

    def finish(self, *, steps: int) -> None:
        """The summary of a run that has all its steps; `eval` holds the last figures of each held-out file."""
        rows = self.folder.metrics()
        last = {name: value for row in rows for name, value in row.items() if name.startswith("eval/")}
        summary = {"steps": steps, "wall_s": round(time.monotonic() - self.started, 1), "eval": last}
        trained = [row for row in rows if "time/step" in row]
        self.folder.write_summary(summary | {"last_step": trained[-1] if trained else {}})


def _accuracy(name: str, figures: Mapping[str, float]) -> str:
    left_out = figures["num_unscorable"]
    return f"{name} {figures['accuracy']:.1%}" + (f" ({left_out} gold answers cannot be judged)" if left_out else "")


@contextmanager
def open_run_logger(config: Config, config_yaml: str, *, verb: RunVerb, resume_after: int | None) -> Iterator[RunLogger]:
    """Open the record of a new run, or of one that shall `go_on` after a step. Who calls this has the `claim` of its folder.

    Raises:
        ValueError: the folder of a new run is not empty, or a tracker cannot be had.
    """
    check_trackers(config.run.trackers)
    with ExitStack() as stack:
        make_new = resume_after is None
        folder = RunFolder.create(config.run.folder, config_yaml, verb=verb) if make_new else RunFolder.open(config.run.folder)
        cluster = config.cluster
        limit_s = max(cluster.start_timeout_s, cluster.step_timeout_s)
        progress.tell(folder=str(folder.path), step=resume_after or 0, silence_limit_s=limit_s)
        console = stack.enter_context(open_console(total_steps=config.run.steps, first_step=resume_after or 0))

        def enter(phase: str) -> None:
            console.phase(phase)
            progress.enter(phase, in_step=phase not in {"", *BETWEEN_STEPS})

        run_logger = RunLogger(folder, console, PhaseTimer(enter), Trackers((), folder, {}), stack)
        if make_new:
            run_logger.open_trackers(config, first_step=0)
        yield run_logger
