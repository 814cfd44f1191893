"""The folder of a run: settings, metrics, samples, checkpoints, model and summary, each safe against a crash at any moment.

config.yaml  run.json  run.lock  metrics.jsonl  rollouts.jsonl  images/  checkpoints/step_000040/  hf/  summary.json
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lmm_r1_mega.errors import BadData, naming_storage_errors
from lmm_r1_mega.record.checkpoints import (
    Checkpoint,
    find_damage,
    finished_checkpoints,
    newest_checkpoint,
    set_newer_aside,
    write_checkpoint,
)
from lmm_r1_mega.record.claim import LOCK_FILE
from lmm_r1_mega.record.jsonl import append_rows, checked_lines, keep_rows, read_rows, write_whole

__all__ = ["Checkpoint", "RunFolder", "RunVerb", "check_unused"]

RunVerb = Literal["train", "sft"]
RUN_FILE = "run.json"
SUMMARY_FILE = "summary.json"
IMAGES = "images"


@dataclass(frozen=True)
class RunFolder:
    """A run's folder; steps count finished steps, so the first row has step 1."""

    path: Path
    """Absolute: worker processes may stand in another folder."""
    verb: RunVerb
    """The command that made it, for `resume`."""
    id: str
    """Stays the same over every resume; trackers go on under it."""

    @classmethod
    def create(cls, path: Path, config_yaml: str, *, verb: RunVerb) -> RunFolder:
        """The folder of a new run; who calls this has the `claim` of it. Errors: ValueError where something is there already."""
        check_unused(path)
        path.mkdir(parents=True, exist_ok=True)
        folder = cls(path.absolute(), verb, uuid.uuid4().hex[:8])
        folder.write_config(config_yaml)
        write_whole(path / RUN_FILE, json.dumps({"verb": verb, "id": folder.id}).encode())
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of an earlier run. Errors: ValueError where it is none."""
        try:
            identity = json.loads((path / RUN_FILE).read_text(encoding="utf-8"))
            return cls(path.absolute(), verb=identity["verb"], id=identity["id"])
        except (OSError, ValueError, LookupError, TypeError):
            raise ValueError(f"{path} is not the folder of a run: it has no readable {RUN_FILE}") from None

    @property
    def config_file(self) -> Path:
        """The resolved settings."""
        return self.path / "config.yaml"

    @property
    def metrics_file(self) -> Path:
        """One row a step, and one an evaluation."""
        return self.path / "metrics.jsonl"

    @property
    def rollouts_file(self) -> Path:
        """Samples, as far as `run.record_samples` asks for them."""
        return self.path / "rollouts.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Folder of the folders `step_000040`."""
        return self.path / "checkpoints"

    @property
    def hf(self) -> Path:
        """The final model as a Hugging Face folder."""
        return self.path / "hf"

    def beginning(self) -> Checkpoint:
        """What a run without a checkpoint goes on from: its start. Errors: BadData where it has checkpoints, but damaged ones."""
        damaged = finished_checkpoints(self.checkpoints)
        if damaged:
            raise BadData(
                f"{damaged[0].path} cannot be used ({find_damage(damaged[0].path)}), nor any older checkpoint: bring its files back, or "
                f"delete {self.checkpoints} to start over"
            )
        return Checkpoint(0, self.path)

    def write_config(self, config_yaml: str) -> None:
        """Replaces the settings."""
        write_whole(self.config_file, config_yaml.encode())

    @property
    def is_finished(self) -> bool:
        """Whether the run came to the end of its steps and of its export."""
        return (self.path / SUMMARY_FILE).exists()

    def append_metrics(self, step: int, row: Mapping[str, float]) -> None:
        """Adds a row, on the disk before this returns."""
        append_rows(self.metrics_file, [{"step": step, **row}])

    def append_rollouts(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Adds samples; each row has a `step`."""
        append_rows(self.rollouts_file, rows)

    def keep_image(self, png: bytes) -> str:
        """Writes an image once, under the name of its content; its path within the folder."""
        name = f"{IMAGES}/{hashlib.sha256(png).hexdigest()[:16]}.png"
        if not (self.path / name).exists():
            with naming_storage_errors(self.path / IMAGES):
                (self.path / IMAGES).mkdir(exist_ok=True)
            write_whole(self.path / name, png)
        return name

    def metrics(self) -> list[dict[str, float]]:
        """All rows so far."""
        return read_rows(self.metrics_file)

    def check_rows(self) -> None:
        """Raises BadData where a line of metrics or samples is damaged."""
        for file in (self.metrics_file, self.rollouts_file):
            deque(checked_lines(file), maxlen=0)

    def cut_after(self, step: int) -> list[Path]:
        """Forgets what was recorded after a step, the end of the run included: a resumed run records it again. After 0 is everything.

        Checkpoints of later steps are set aside, which is where they now are.
        """
        aside = set_newer_aside(self.checkpoints, step)
        (self.path / SUMMARY_FILE).unlink(missing_ok=True)
        for file in (self.metrics_file, self.rollouts_file):
            keep_rows(file, until_step=step or -1)
        return aside

    def checkpoint(self, step: int, *, keep: int) -> AbstractContextManager[Path]:
        """A folder to fill that becomes the checkpoint of `step` at the end of the block; the newest `keep` stay."""
        return write_checkpoint(self.checkpoints, step, keep=keep)

    def newest_checkpoint(self) -> Checkpoint | None:
        """The newest complete one; None where there is none."""
        return newest_checkpoint(self.checkpoints)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Replaces `summary.json`."""
        write_whole(self.path / SUMMARY_FILE, (json.dumps(summary, indent=2) + "\n").encode())


def check_unused(path: Path) -> None:
    """Raises ValueError where a new run would meet something in its folder."""
    if path.exists() and any(inner.name != LOCK_FILE for inner in path.iterdir()):
        way_out = f"go on with `lmm-r1-mega resume {path}`, or " if (path / RUN_FILE).exists() else ""
        raise ValueError(f"run.folder {path} is not empty: {way_out}choose another with --run.folder")
