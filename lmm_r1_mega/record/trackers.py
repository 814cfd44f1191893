"""Where metrics go beside `metrics.jsonl`: TensorBoard, Weights & Biases and Trackio, by name. Keys come from the environment only."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Protocol, Self

from lmm_r1_mega.record.folder import RunFolder

logger = logging.getLogger(__name__)

PROJECT = "lmm-r1-mega"
"""Where the environment (`WANDB_PROJECT`, `TRACKIO_PROJECT`) names no other."""


class Tracker(Protocol):
    """A place that takes one row of numbers a step."""

    def log(self, step: int, row: Mapping[str, float]) -> None:
        """Takes the row of a step."""

    def close(self) -> None:
        """Hands over what is still held back."""


class TensorBoard:
    """Event files in `tensorboard/` of the run's folder; points after the step that a run resumes from are hidden."""

    def __init__(self, folder: RunFolder, settings: Mapping[str, Any], *, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder.path / "tensorboard"), purge_step=first_step + 1 if first_step else None)
        self._writer.add_text("settings", "```\n" + "\n".join(f"{key}: {value}" for key, value in settings.items()) + "\n```")

    def log(self, step: int, row: Mapping[str, float]) -> None:
        """Adds a point to every curve."""
        for name, value in row.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Ends the event file."""
        self._writer.close()


class WandB:
    """A Weights & Biases run that a resumed run goes on with.

    `WANDB_MODE=offline` needs no key and writes into the run's folder, for every start a part under the same id.
    """

    def __init__(self, folder: RunFolder, settings: Mapping[str, Any], *, first_step: int) -> None:
        import wandb

        del first_step  # it takes steps in rising order: a resumed run adds nothing until it is past the steps that are there
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=folder.path.name,
            id=folder.id,
            resume="allow",
            dir=str(folder.path),
            config=dict(settings),
        )

    def log(self, step: int, row: Mapping[str, float]) -> None:
        """Adds a point to every curve; values that are not finite are left out."""
        self._run.log(_finite(row), step=step)

    def close(self) -> None:
        """Waits until everything is handed over."""
        self._run.finish()


class Trackio:
    """A Trackio run that a resumed run goes on with; steps done again then have two points.

    A database below `TRACKIO_DIR` (else Trackio's own folder), which needs no key; or where `TRACKIO_SPACE_ID` or `TRACKIO_SERVER_URL` is
    set, there, with `HF_TOKEN` or `TRACKIO_WRITE_TOKEN`.
    """

    def __init__(self, folder: RunFolder, settings: Mapping[str, Any], *, first_step: int) -> None:
        import trackio

        del first_step  # its database only grows
        self._trackio = trackio
        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=f"{folder.path.name}-{folder.id}",  # Trackio knows runs by name
            resume="allow",
            config=dict(settings),
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, step: int, row: Mapping[str, float]) -> None:
        """Adds a point to every curve; values that are not finite are left out."""
        self._run.log(_finite(row), step=step)

    def close(self) -> None:
        """Waits until everything is handed over."""
        self._trackio.finish()


TRACKERS: dict[str, Callable[..., Tracker]] = {"tensorboard": TensorBoard, "wandb": WandB, "trackio": Trackio}


def check_trackers(names: Sequence[str]) -> None:
    """Raises ValueError for an unknown name, a missing package (with the command that installs it) and a missing key."""
    for name in names:
        if name not in TRACKERS:
            raise ValueError(f"run.trackers has {name!r}: use {', '.join(TRACKERS)}")
        if find_spec(name) is None:
            raise ValueError(f"run.trackers has {name}, which is not installed: pip install 'lmm-r1-mega[track]', or pip install {name}")
    if "wandb" in names and not os.environ.get("WANDB_API_KEY") and os.environ.get("WANDB_MODE") not in ("offline", "disabled"):
        raise ValueError("run.trackers has wandb, which needs a key: set WANDB_API_KEY in the environment, or WANDB_MODE=offline")


class Trackers:
    """All trackers of a run as one, as a context manager; one that fails later is left out from then on, and the run goes on.

    Errors on opening: those of `check_trackers`.
    """

    def __init__(self, names: Sequence[str], folder: RunFolder, settings: Mapping[str, Any], *, first_step: int = 0) -> None:
        check_trackers(names)
        self._trackers: dict[str, Tracker] = {}
        try:
            for name in names:
                self._trackers[name] = TRACKERS[name](folder, settings, first_step=first_step)
        except BaseException:
            self._each(lambda tracker: tracker.close())
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._each(lambda tracker: tracker.close())

    def log(self, step: int, row: Mapping[str, float]) -> None:
        """Hands a row to every tracker."""
        self._each(lambda tracker: tracker.log(step, row))

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                call(tracker)
            except Exception as error:  # of a service or its library; metrics.jsonl has every row
                del self._trackers[name]
                logger.warning("tracker %s failed and gets nothing more: %s: %s", name, type(error).__name__, error)


def _finite(row: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if math.isfinite(value)}
