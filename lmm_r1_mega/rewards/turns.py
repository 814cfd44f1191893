"""Whose turn it is among equal servers: shared load, and a circuit breaker for each.

A server that fails `FAILURES_TO_OPEN` times in a row gets no request for a while (its circuit is open), then a single one as a
probe; a right answer closes the circuit, a wrong one doubles the while.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

FAILURES_TO_OPEN = 4
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
LONGEST_REQUEST_S = 600.0
"""Of the pauses that servers ask for: none is lost to the run for good."""


@dataclass
class Server:
    """One of several equal servers, and how it has done."""

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


class Turns:
    """The servers, shared by threads."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.servers = [Server(url) for url in urls]
        self._changed = threading.Condition()

    def take(self, *, without: set[str], deadline: float) -> Server | None:
        """The least burdened server that may be asked, waited for if need be; None where none will be before the deadline.

        Every server taken is given back with `succeeded`, `failed` or `paused`.
        """
        with self._changed:
            while (now := time.monotonic()) < deadline:
                left = [server for server in self.servers if server.url not in without and server.not_before < deadline]
                if not left:
                    return None
                free = [server for server in left if server.is_free(now)]
                if free:
                    server = min(free, key=lambda one: (one.in_flight + one.failures, one.num_asked))
                    server.in_flight, server.num_asked = server.in_flight + 1, server.num_asked + 1
                    return server
                opening = [server.not_before for server in left if server.not_before > now]
                self._changed.wait(min([deadline, *opening]) - now)
        return None

    def succeeded(self, server: Server) -> None:
        """It gave a right answer."""
        with self._changed:
            server.failures = 0
            self._give_back(server)

    def failed(self, server: Server) -> None:
        """It gave none, or a wrong one. What was on its way when the circuit opened is no further failure."""
        with self._changed:
            now = time.monotonic()
            if now >= server.not_before:
                server.failures += 1
                server.not_before = now + _pause_s(server.failures)
            self._give_back(server)

    def paused(self, server: Server, pause_s: float) -> None:
        """It asked to be left alone for a while, which is no failure."""
        with self._changed:
            server.not_before = max(server.not_before, time.monotonic() + min(pause_s, LONGEST_REQUEST_S))
            self._give_back(server)

    def _give_back(self, server: Server) -> None:
        server.in_flight -= 1
        self._changed.notify_all()


def _pause_s(failures: int) -> float:
    """How long a server is left alone after so many failures in a row.

    Example: 3 -> 0, 4 -> 0.5, 5 -> 1, 6 -> 2, at most 30
    """
    if failures < FAILURES_TO_OPEN:
        return 0.0
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(10, failures - FAILURES_TO_OPEN))
