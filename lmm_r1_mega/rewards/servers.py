"""Requests to equal servers that share them and stand in for each other, inside one budget of time."""

from __future__ import annotations

import itertools
import json
import logging
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from lmm_r1_mega.rewards.posting import Busy, NoAnswer, Refused, post_json
from lmm_r1_mega.rewards.turns import Server, Turns

T = TypeVar("T")

LANES = 16
"""Requests that one server answers at the same time."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 10.0
"""Before the first repetition, and before any."""
MAX_PARTIAL = 3
"""Answers with gaps to one request; the last of them is taken as it is."""
NO_TIME = "no answer in time"
GRACE_S = 0.2
"""For lanes to report that the time is over."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unanswered:
    """Why there is no answer to a request."""

    reason: str


class Partial(NoAnswer, Generic[T]):
    """An answer with gaps, which another attempt may fill."""

    def __init__(self, reason: str, answer: T) -> None:
        super().__init__(reason)
        self.answer = answer


class Servers:
    """Equal servers. `ask` does not raise for anything that they do, and does not outlast `budget_s`.

    `seed` makes the random part of the waits between attempts repeat.
    """

    def __init__(self, urls: Sequence[str], *, headers: dict[str, str], timeout_s: float, budget_s: float, seed: int = 0) -> None:
        self._turns = Turns(urls)
        self._headers = headers
        self._timeout_s = timeout_s
        self._budget_s = budget_s
        self._seed = seed

    def ask(self, contents: Sequence[Any], read: Callable[[int, Any], T]) -> list[T | Unanswered]:
        """What `read` makes of the answer to each content (both JSON), in order.

        `read` gets the content's place and the decoded answer, and raises `NoAnswer` for one that does not do, `Partial` for gaps.
        """
        deadline = time.monotonic() + self._budget_s
        waiting = deque(enumerate(contents))
        answered: queue.SimpleQueue[tuple[int, T | Unanswered | BaseException]] = queue.SimpleQueue()
        call = _Call(self._turns, self._headers, self._timeout_s, deadline, read)

        def lane() -> None:
            while waiting and time.monotonic() < deadline:
                try:
                    place, content = waiting.popleft()
                except IndexError:  # another lane was faster
                    return
                answered.put((place, call.answer(place, content, random.Random(f"{self._seed} {place}"))))

        for _ in range(min(len(contents), LANES * len(self._turns.servers))):
            # A daemon: one that hangs in the resolver of names keeps neither the step nor the end of the run waiting.
            threading.Thread(target=lane, name="reward request", daemon=True).start()
        answers: list[T | Unanswered] = [Unanswered(NO_TIME)] * len(contents)
        for place, answer in _until(answered, deadline + GRACE_S, count=len(contents)):
            if isinstance(answer, BaseException):
                raise answer
            answers[place] = answer
        return answers


@dataclass(frozen=True)
class _Call(Generic[T]):
    """One call of `Servers.ask`."""

    turns: Turns
    headers: dict[str, str]
    timeout_s: float
    deadline: float
    read: Callable[[int, Any], T]

    def answer(self, place: int, content: Any, chance: random.Random) -> T | Unanswered | BaseException:
        """The answer, the reason why there is none, or what `read` raised, for the caller's thread to raise."""
        try:
            return self._ask(place, json.dumps(content).encode(), chance)
        except BaseException as error:
            return error

    def _ask(self, place: int, body: bytes, chance: random.Random) -> T | Unanswered:
        """Asks until there is an answer, nobody left to ask, or no time."""
        refused: set[str] = set()
        partial: list[T] = []
        reason = ""
        for attempt in itertools.count():
            is_settled = len(partial) == MAX_PARTIAL
            server = None if is_settled else self.turns.take(without=refused, deadline=self.deadline)
            if server is None:
                break
            try:
                return self._attempt(server, place, body)
            except NoAnswer as problem:
                refused |= {server.url} if isinstance(problem, Refused) else set()
                partial += [problem.answer] if isinstance(problem, Partial) else []
                if not reason or time.monotonic() < self.deadline:  # the last attempt may fail for want of time alone
                    reason = str(problem)
            self._wait(attempt, chance)
        return partial[-1] if partial else Unanswered(reason or NO_TIME)

    def _attempt(self, server: Server, place: int, body: bytes) -> T:
        try:
            timeout_s = max(0.001, min(self.timeout_s, self.deadline - time.monotonic()))
            answer = self.read(place, post_json(server.url, body, headers=self.headers, timeout_s=timeout_s))
        except Busy as problem:
            self.turns.paused(server, problem.pause_s)
            raise
        except Partial:
            self.turns.succeeded(server)  # it lives, and other requests need not suffer
            raise
        except BaseException as problem:
            if server.failures == 0:
                logger.warning("%s did not answer a request: %s", _spelled(server.url), problem)
            self.turns.failed(server)
            raise
        self.turns.succeeded(server)
        return answer

    def _wait(self, attempt: int, chance: random.Random) -> None:
        """Exponential, with a random half, so that requests which failed together do not come back together."""
        wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempt, 10)) * (0.5 + 0.5 * chance.random())
        time.sleep(max(0.0, min(wait, self.deadline - time.monotonic())))


def _until(answered: queue.SimpleQueue[T], deadline: float, *, count: int) -> Iterator[T]:
    """Up to `count` entries of a queue, until the deadline."""
    for _ in range(count):
        try:
            yield answered.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return


def _spelled(url: str) -> str:
    """An address for a message: without its query, which may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"
