"""Requests to replicas of a server: load-balanced, with fail-over, repeated, inside one time budget."""

from __future__ import annotations

import asyncio
import email.utils
import json
import logging
import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from lmm_r1_mega.http_client import BodyTooLarge, RequestFailed, request
from lmm_r1_mega.rewards.remote.turns import Server, take_turn

T = TypeVar("T")

REQUESTS_PER_SERVER = 16
"""Requests that one server answers at the same time."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 10.0
"""Before the first repetition, and before any."""
MAX_PARTIAL = 3
"""Answers with gaps to one request; the last of them is taken as it is."""
NO_TIME = "no answer in time"
MAX_ANSWER_BYTES = 64 * 2**20
FINAL_STATUSES = frozenset({400, 401, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422, 501, *range(300, 400)})
"""The same request will meet them again."""
BUSY_STATUSES = frozenset({429, 503})

logger = logging.getLogger(__name__)


class NoAnswer(Exception):
    """The request failed; the text is the reason that a sample is invalid for, so it names no address."""

    def __init__(self, reason: str, *, is_final: bool = False, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.is_final = is_final
        """This server will not answer the same request."""
        self.pause_s = pause_s
        """The server asks to be left alone for so long."""


class Partial(NoAnswer, Generic[T]):
    """An answer with gaps, which another attempt may fill."""

    def __init__(self, reason: str, answer: T) -> None:
        super().__init__(reason)
        self.answer = answer


class Servers(Generic[T]):
    """Replicas of one server. `ask` does not raise for anything that they do, and does not outlast `budget_s`.

    `seed` makes the random part of the waits between attempts repeat. Not for use from two threads at a time.
    """

    def __init__(self, urls: Sequence[str], *, headers: dict[str, str], timeout_s: float, budget_s: float, seed: int = 0) -> None:
        self._servers = [Server(url) for url in urls]
        self._headers = {"Content-Type": "application/json", **headers}
        self._timeout_s = timeout_s
        self._budget_s = budget_s
        self._seed = seed

    def ask(self, contents: Sequence[Any], read: Callable[[int, Any], T]) -> list[T | NoAnswer]:
        """What `read` makes of the answer to each content (both JSON), in order. Not for use inside an event loop.

        `read` gets the index of the content and the decoded answer, and raises `NoAnswer` for a useless answer, `Partial` for gaps.
        """
        return asyncio.run(self._ask_all(contents, read, time.monotonic() + self._budget_s))

    async def _ask_all(self, contents: Sequence[Any], read: Callable[[int, Any], T], deadline: float) -> list[T | NoAnswer]:
        answers: list[T | NoAnswer] = [NoAnswer(NO_TIME)] * len(contents)
        waiting = iter(enumerate(contents))

        async def answer_in_turn() -> None:
            for index, content in waiting:
                if time.monotonic() >= deadline:
                    return
                answers[index] = await self._ask(index, json.dumps(content).encode(), read, deadline)

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(len(contents), REQUESTS_PER_SERVER * len(self._servers))):
                    tasks.create_task(answer_in_turn())
        except BaseExceptionGroup as errors:  # of `read`: the caller's own
            raise errors.exceptions[0] from None
        return answers

    async def _ask(self, index: int, body: bytes, read: Callable[[int, Any], T], deadline: float) -> T | NoAnswer:
        """Asks until there is an answer, nobody left to ask, or no time."""
        chance = random.Random(f"{self._seed} {index}")
        refused: set[str] = set()
        partial: list[T] = []
        failure, wait_s = NoAnswer(NO_TIME), FIRST_WAIT_S
        while len(partial) < MAX_PARTIAL and (server := await take_turn(self._servers, without=refused, deadline=deadline)):
            try:
                return await self._attempt(server, index, body, read, deadline)
            except NoAnswer as problem:
                refused |= {server.url} if problem.is_final else set()
                partial += [problem.answer] if isinstance(problem, Partial) else []
                if str(failure) == NO_TIME or time.monotonic() < deadline:  # the last attempt may fail for want of time alone
                    failure = problem
            # A random half, so that requests which failed together do not come back together.
            await asyncio.sleep(max(0.0, min(wait_s * (0.5 + 0.5 * chance.random()), deadline - time.monotonic())))
            wait_s = min(LONGEST_WAIT_S, 2.0 * wait_s)
        return partial[-1] if partial else failure

    async def _attempt(self, server: Server, index: int, body: bytes, read: Callable[[int, Any], T], deadline: float) -> T:
        timeout_s = max(0.001, min(self._timeout_s, deadline - time.monotonic()))
        try:
            answer = read(index, await post_json(server.url, body, headers=self._headers, timeout_s=timeout_s))
        except Partial:
            server.succeeded()  # it lives, and other requests need not suffer
            raise
        except BaseException as problem:
            if isinstance(problem, NoAnswer) and problem.pause_s is not None:
                server.paused(problem.pause_s)
                raise
            if server.failures == 0:
                logger.warning("%s did not answer a request: %s", _without_query(server.url), problem)
            server.failed()
            raise
        server.succeeded()
        return answer


async def post_json(url: str, body: bytes, *, headers: dict[str, str], timeout_s: float) -> Any:
    """Post JSON and return the decoded answer; connecting, sending, waiting and reading take at most `timeout_s` together.

    Raises: NoAnswer with the reason; nothing else, whatever the server does.
    """
    try:
        async with asyncio.timeout(timeout_s):
            answer = await request(url, body=body, headers=headers, max_bytes=MAX_ANSWER_BYTES)
    except TimeoutError:
        raise NoAnswer("timeout") from None
    except BodyTooLarge as error:
        raise NoAnswer("answer too large", is_final=True) from error
    except RequestFailed as error:
        raise NoAnswer("connection failed") from error
    if answer.status != 200:
        pause_s = retry_after_s(answer.headers.get("Retry-After")) if answer.status in BUSY_STATUSES else None
        raise NoAnswer(f"status {answer.status}", is_final=answer.status in FINAL_STATUSES, pause_s=pause_s)
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise NoAnswer("answer is not JSON") from error


def retry_after_s(header: str | None) -> float | None:
    """Seconds to wait by a `Retry-After` header, which holds seconds or a date (RFC 9110, 10.2.3); None when there is none to read.

    Example: "120" -> 120.0
    """
    if header is None:
        return None
    if header.strip().isascii() and header.strip().isdigit():
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def bearer(variable: str) -> dict[str, str]:
    """The header with the token of an environment variable; none when that is not set.

    Errors: ValueError, which does not show it, for a token that a header cannot carry.
    """
    token = os.environ.get(variable, "").strip()
    if not (token.isascii() and token.isprintable()):
        raise ValueError(f"{variable} holds signs that a header cannot carry, fix: set it to printable ASCII")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _without_query(url: str) -> str:
    """An address for a message: the query may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"
