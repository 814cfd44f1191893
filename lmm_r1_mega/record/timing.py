"""How long each phase of a step takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class PhaseTimer:
    """Collects the seconds of named phases. `on_change` hears the name of the phase that begins, and "" when it ends."""

    def __init__(self, on_change: Callable[[str], None] = lambda name: None) -> None:
        self._on_change = on_change
        self._seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the block's seconds to phase `name`, also when the block fails."""
        start = time.perf_counter()
        self._on_change(name)
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start
            self._on_change("")

    def take(self) -> dict[str, float]:
        """`time/<phase>` in seconds since the last call, and `time/step` for all of that time; starts from zero again."""
        wall = time.perf_counter() - self._since
        taken = {f"time/{name}": seconds for name, seconds in self._seconds.items()} | {"time/step": wall}
        self._seconds, self._since = {}, time.perf_counter()
        return taken
