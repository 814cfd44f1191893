"""Which replica of a server is asked next: shared load, and a circuit breaker for each.

A server that fails `FAILURES_TO_OPEN` times in a row gets no request for a while (its circuit is open), then a single one as a
probe; a right answer closes the circuit, a wrong one doubles the while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

FAILURES_TO_OPEN = 4
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
LONGEST_REQUEST_S = 600.0
"""Of the pauses that servers ask for: none is lost to the run for good."""
LOOK_AGAIN_S = 0.02


@dataclass
class Server:
    """A replica, and how it has done. Whoever takes it says how it did: `succeeded`, `failed` or `paused`."""

    url: str
    in_flight: int = 0
    num_asked: int = 0
    failures: int = 0
    """In a row."""
    not_before: float = 0.0
    """By the monotonic clock: no request until then."""

    def is_free(self, now: float) -> bool:
        """Whether it may be asked: always with a closed circuit; after the pause of an open one, once at a time."""
        is_probe_allowed = self.failures < FAILURES_TO_OPEN or self.in_flight == 0
        return now >= self.not_before and is_probe_allowed

    def succeeded(self) -> None:
        """It gave a right answer."""
        self.failures = 0
        self.in_flight -= 1

    def failed(self) -> None:
        """It gave none, or a wrong one. What was on its way when the circuit opened is no further failure."""
        now = time.monotonic()
        if now >= self.not_before:
            self.failures += 1
            self.not_before = now + pause_after(self.failures)
        self.in_flight -= 1

    def paused(self, pause_s: float) -> None:
        """It asked to be left alone for a while, which is no failure."""
        self.not_before = max(self.not_before, time.monotonic() + min(pause_s, LONGEST_REQUEST_S))
        self.in_flight -= 1


async def take_turn(servers: Sequence[Server], *, without: set[str], deadline: float) -> Server | None:
    """The least burdened server that may be asked, waited for if need be; None when none will be before the deadline."""
    while (now := time.monotonic()) < deadline:
        usable = [server for server in servers if server.url not in without and server.not_before < deadline]
        if not usable:
            return None
        if free := [server for server in usable if server.is_free(now)]:
            server = min(free, key=lambda server: (server.in_flight + server.failures, server.num_asked))
            server.in_flight, server.num_asked = server.in_flight + 1, server.num_asked + 1
            return server
        await asyncio.sleep(min(LOOK_AGAIN_S, deadline - now))
    return None


def pause_after(failures: int) -> float:
    """Seconds that a server is left alone after so many failures in a row.

    Example: 3 -> 0, 4 -> 0.5, 5 -> 1, 6 -> 2, at most 30
    """
    if failures < FAILURES_TO_OPEN:
        return 0.0
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(10, failures - FAILURES_TO_OPEN))
