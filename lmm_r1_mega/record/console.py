"""What a person sees while a run goes on: a line a step, and never a silent half minute.

On a terminal a status line at the bottom moves; elsewhere (files, SLURM logs) plain lines are printed.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console as RichConsole
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

SILENCE_S = 30.0
SHOWN = {
    "reward": "reward {:.3f}",
    "completions/mean_length": "length {:.1f}",
    "loss": "loss {:.4f}",
    "kl": "kl {:.2g}",
    "grad_norm": "grad norm {:.2g}",
}
"""Columns of a step's line, where the row has them."""
INVALID = "samples/invalid"
RECENT_WEIGHT = 0.3
"""Weight of the last step in the running mean from which the remaining time is estimated."""


class Console:
    """The lines of one run."""

    def __init__(self, print_line: Callable[[str], None], *, total_steps: int, first_step: int = 0) -> None:
        self._print = print_line
        self._total_steps = total_steps
        self._done = first_step
        self._mean_step_s: float | None = None
        self._phase, self._phase_since = "start", time.monotonic()
        self._last_line = time.monotonic()

    def phase(self, name: str) -> None:
        """The phase that begins; "" when one ends."""
        self._phase, self._phase_since = name, time.monotonic()

    def message(self, text: str) -> None:
        """Prints a line."""
        self._last_line = time.monotonic()
        self._print(text)

    def step(self, done: int, row: Mapping[str, float]) -> None:
        """Prints the line of a finished step: reward, length, seconds by phase, time that remains."""
        step_s = row["time/step"]
        before = self._mean_step_s
        self._mean_step_s = step_s if before is None else before + RECENT_WEIGHT * (step_s - before)
        self._done = done
        shown = [form.format(row[name]) for name, form in SHOWN.items() if name in row]
        shown += [f"invalid {row[INVALID]:.0f}"] if row.get(INVALID) else []
        slowest = sorted(((row[name], name) for name in row if name.startswith("time/") and name != "time/step"), reverse=True)
        phases = " ".join(f"{name.removeprefix('time/')} {seconds:.1f}" for seconds, name in slowest if seconds >= 0.05)
        times = f"{step_s:.1f} s" + (f" ({phases})" if phases else "")
        self.message("  ".join([f"step {done}/{self._total_steps}", *shown, times, self._remaining()]).rstrip())

    def status(self) -> str:
        """What is going on right now, in a few words."""
        phase = f"{self._phase} for {time.monotonic() - self._phase_since:.0f} s" if self._phase else "between phases"
        step = f"step {min(self._done + 1, self._total_steps)}/{self._total_steps}"
        return "  ".join(part for part in (step, phase, self._remaining()) if part)

    def break_silence(self, *, after_s: float = SILENCE_S) -> None:
        """Prints the status where nothing was printed for `after_s` seconds."""
        if time.monotonic() - self._last_line >= after_s:
            self.message(self.status())

    def _remaining(self) -> str:
        left = self._total_steps - self._done
        return f"ETA {duration(left * self._mean_step_s)}" if self._mean_step_s is not None and left else ""


def duration(seconds: float) -> str:
    """Example: 75 -> `1:15`, 3675 -> `1:01:15`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def open_console(*, total_steps: int, first_step: int = 0, stream: TextIO | None = None) -> Iterator[Console]:
    """A console on `stream` (standard output when left out): with a live status line where that is a terminal."""
    stream = stream or sys.stdout
    rich = RichConsole(file=stream, highlight=False, soft_wrap=True)
    if not rich.is_terminal:
        console = Console(lambda text: print(text, file=stream, flush=True), total_steps=total_steps, first_step=first_step)
        with _watched(console):
            yield console
        return
    console = Console(lambda text: rich.print(Text(text)), total_steps=total_steps, first_step=first_step)
    with Live(get_renderable=lambda: Spinner("dots", Text(console.status())), console=rich, refresh_per_second=4, transient=True):
        yield console


@contextmanager
def _watched(console: Console) -> Iterator[None]:
    """A thread that breaks the console's silence."""
    end = threading.Event()

    def watch() -> None:
        while not end.wait(1.0):
            console.break_silence()

    watcher = threading.Thread(target=watch, name="console", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        end.set()
        watcher.join()
