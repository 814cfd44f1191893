"""A reward server over a `RewardPool`; the only owner of starlette and uvicorn.

Requests are read by an event loop on a thread of its own. The thread that opened the pool scores them, those that wait together at once.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import queue
import signal
import socket
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.process.linux import WAIT_S
from lmm_r1_mega.rewards.messages import RewardInput
from lmm_r1_mega.rewards.remote.questions import NO_RESPONSE, BadQuestion, answer_of, read_question
from lmm_r1_mega.rewards.remote.reward_servers import TOKEN_VARIABLE
from lmm_r1_mega.rewards.workers.pool import RewardPool
from lmm_r1_mega.schema import Score

MAX_BODY_BYTES = 64 * 2**20
READ_LIMIT_S = 60.0
"""For a request's headers to come, and for each further part of its body."""
FAREWELL_S = 2
"""For the last answers to go out."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class ServerStopped(BaseException):
    """SIGTERM or SIGINT came."""


class _ImpatientProtocol(H11Protocol):
    """Closes a connection whose next request does not begin in time; uvicorn itself waits for half a header for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_request()

    def _expect_request(self) -> None:
        before = self.cycle
        self.loop.call_later(READ_LIMIT_S, lambda: self.transport.close() if self.cycle is before else None)


@dataclass(frozen=True, eq=False)
class Ticket:
    """A request that waits for its scores. None stands for a query without a response."""

    inputs: list[RewardInput | None]
    scores: Future[list[Score]] = field(default_factory=Future)


class RewardServer:
    """Reads requests, which wait as tickets.

    Errors: ValueError for an address that others can reach without a token, OSError for one that cannot be had.
    """

    def __init__(self, host: str, port: int, *, token: str, opening: str) -> None:
        check_address(host, token)
        self._token, self._opening = token, opening
        self._waiting: queue.SimpleQueue[Ticket] = queue.SimpleQueue()
        self._unanswered: set[Ticket] = set()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, dualstack_ipv6=family == socket.AF_INET6)
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{self._socket.getsockname()[1]}"
        routes = [Route("/{path:path}", self._get, methods=["GET"]), Route("/{path:path}", self._post, methods=["POST"])]
        app = Starlette(routes=routes, exception_handlers={HTTPException: _refusal, ClientDisconnect: _refusal})
        config = uvicorn.Config(
            app,
            http=_ImpatientProtocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=FAREWELL_S,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    def start(self) -> None:
        """Begin to read requests; outside the main thread uvicorn leaves signals alone."""
        self._thread.start()

    def answer_some(self, pool: RewardPool) -> None:
        """Score all tickets that wait, or return after a while without one."""
        try:
            tickets = [self._waiting.get(timeout=WAIT_S), *(self._waiting.get_nowait() for _ in range(self._waiting.qsize()))]
        except queue.Empty:
            return
        scores = iter(pool.score([item for ticket in tickets for item in ticket.inputs if item is not None]))
        for ticket in tickets:
            ticket.scores.set_result([Score(None, {}, NO_RESPONSE) if item is None else next(scores) for item in ticket.inputs])

    def stop(self) -> None:
        """Send 503 to all that wait, and end."""
        self._server.should_exit = True
        for ticket in self._unanswered.copy():
            if not ticket.scores.done():
                ticket.scores.set_exception(HTTPException(503, "the server is going down"))
        if self._thread.is_alive():
            self._thread.join(2 * FAREWELL_S)
        self._socket.close()

    async def _get(self, request: Request) -> Response:
        if request.url.path != "/health":
            raise HTTPException(404, "GET answers /health alone, fix: post queries, prompts and labels")
        return _json({"status": "ok"})

    async def _post(self, request: Request) -> Response:
        await self._check_headers(request)
        try:
            ticket = Ticket(read_question(b"".join([block async for block in _blocks(request)]), opening=self._opening))
        except BadQuestion as problem:
            raise HTTPException(400, str(problem)) from None
        if self._server.should_exit:
            raise HTTPException(503, "the server is going down")
        self._unanswered.add(ticket)
        self._waiting.put(ticket)
        try:
            scores: list[Score] = await asyncio.wrap_future(ticket.scores)
        finally:
            self._unanswered.remove(ticket)
        return _json(answer_of(scores))

    async def _check_headers(self, request: Request) -> None:
        """Raises HTTPException with the status and the fix for a request that is not scored."""
        length = request.headers.get("Content-Length", "")
        if not length.isdigit():
            raise HTTPException(411, "the length of the body is unknown, fix: send a Content-Length")
        if int(length) > MAX_BODY_BYTES:
            raise HTTPException(413, f"the body has {length} bytes, at most {MAX_BODY_BYTES} are read, fix: send fewer queries at once")
        sent = request.headers.get("Authorization", "").encode()
        if self._token and not hmac.compare_digest(sent, f"Bearer {self._token}".encode()):
            async for _ in _blocks(request):  # a client hears the answer only when its body has been taken
                pass
            raise HTTPException(401, f"the token is missing or wrong, fix: send {TOKEN_VARIABLE} as `Authorization: Bearer TOKEN`")
        if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            # No page in a browser may send JSON to this machine unasked.
            raise HTTPException(415, "the body is not called JSON, fix: send it as Content-Type application/json")


async def _blocks(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises: HTTPException if its next part does not come in time."""
    blocks = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(READ_LIMIT_S):
                block = await anext(blocks, None)
        except TimeoutError:
            raise HTTPException(408, f"no part of the body came for {READ_LIMIT_S:.0f} s") from None
        if block is None:
            return
        yield block


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(content), status, media_type="application/json")


async def _refusal(request: Request, problem: Exception) -> Response:
    """The answer to a request that is not scored; nobody hears the one to a client that has gone."""
    return _json({"error": problem.detail}, problem.status_code) if isinstance(problem, HTTPException) else _json({}, 400)


def check_address(host: str, token: str) -> None:
    """Raises ValueError for an address that other machines can reach, without a token."""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback and not token:
        raise ValueError(f"--host {host!r} can be reached by others, fix: set {TOKEN_VARIABLE} to a secret, or stay on 127.0.0.1")


def check_is_local(settings: RewardSettings) -> None:
    """Raises ValueError for rewards that the server would have to ask others for."""
    for name, value in {"remote.urls": settings.remote.urls, "judge.urls": settings.judge.urls, "models": settings.models}.items():
        if value:
            raise ValueError(f"reward.{name} is set, and `reward serve` pays for rules and the user's function alone, fix: leave it out")


def serve(server: RewardServer, pool: RewardPool) -> None:
    """Answer what the server reads, on the main thread, until SIGTERM or SIGINT. Who still waits then gets status 503.

    It says that it serves once a signal would end it well.
    """
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        for number in STOP_SIGNALS:
            signal.signal(number, _stop)
        server.start()
        print(f"serving {', '.join(pool.weights)} at {server.address}", flush=True)
        while True:
            server.answer_some(pool)
    except ServerStopped:
        pass
    finally:
        server.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    """The first signal ends the service; a second one must not disturb the end."""
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise ServerStopped
