"""How long each phase of a step takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

BETWEEN_STEPS = frozenset({"start", "evaluate", "save"})
"""Phases that are no part of a step."""


def shares(times: Mapping[str, float]) -> dict[str, float]:
    """`perf/utilization/<phase>`: the share of the step's time that each phase of it took, from what `PhaseTimer.take` gives.

    Example: time/update 3, time/save 9, time/step 4 -> perf/utilization/update 0.75
    """
    phases = {name.removeprefix("time/"): seconds for name, seconds in times.items()}
    return {f"perf/utilization/{phase}": phases[phase] / phases["step"] for phase in phases if phase not in {"step", *BETWEEN_STEPS}}


class PhaseTimer:
    """Collects the seconds of named phases. `on_change` hears the name of the phase that goes on, "" between phases."""

    def __init__(self, on_change: Callable[[str], None] = lambda name: None) -> None:
        self._on_change = on_change
        self._seconds: dict[str, float] = {}
        self._phase = ""
        self._since = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the block's seconds to phase `name`, also when the block fails; the phase goes on then, as that of the failure."""
        outer, start = self._phase, time.perf_counter()
        self._enter(name)
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start
        self._enter(outer)

    def take(self) -> dict[str, float]:
        """`time/<phase>` in seconds since the last call, and `time/step` for that time without `BETWEEN_STEPS`; starts from zero again."""
        between = sum(seconds for name, seconds in self._seconds.items() if name in BETWEEN_STEPS)
        step = time.perf_counter() - self._since - between
        taken = {f"time/{name}": seconds for name, seconds in self._seconds.items()} | {"time/step": step}
        self._seconds, self._since = {}, time.perf_counter()
        return taken

    def _enter(self, name: str) -> None:
        self._phase = name
        self._on_change(name)
