"""A reward server over a `RewardPool`; the only owner of `http.server`.

Requests are read on threads. The thread that opened the pool scores them, those that wait together at once.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any

from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.process.linux import WAIT_S
from lmm_r1_mega.rewards.messages import RewardInput
from lmm_r1_mega.rewards.pool import RewardPool
from lmm_r1_mega.rewards.questions import NO_RESPONSE, BadQuestion, answer_of, read_question
from lmm_r1_mega.rewards.remote import TOKEN_VARIABLE
from lmm_r1_mega.schema import Score

MAX_BODY_BYTES = 64 * 2**20
SOCKET_TIMEOUT_S = 60.0
"""For each read from a client."""
FAREWELL_S = 2.0
"""For the last answers to go out."""
MAX_DIGITS = 20
"""Of a length that are read."""
BLOCK_BYTES = 2**16
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

logger = logging.getLogger(__name__)


class Stopped(BaseException):
    """SIGTERM or SIGINT came."""


@dataclass(frozen=True)
class Ticket:
    """A request that waits for its scores, and whether its answer has gone out."""

    inputs: list[RewardInput | None]
    scores: Future[list[Score]] = field(default_factory=Future)
    sent: threading.Event = field(default_factory=threading.Event)


class RewardServer(ThreadingHTTPServer):
    """Reads requests and puts them into `waiting`.

    Errors: ValueError for an address that others can reach without a token, OSError for one that cannot be had.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, *, token: str, opening: str) -> None:
        refuse_open_door(host, token)
        self._host = host
        self.token = token
        self.opening = opening
        self.waiting: queue.SimpleQueue[Ticket] = queue.SimpleQueue()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of the server."""
        if isinstance(sys.exception(), ConnectionError):
            logger.debug("%s went away", client_address)
        else:
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        """Where it listens."""
        host = f"[{self._host}]" if self.address_family == socket.AF_INET6 else self._host
        return f"http://{host}:{self.server_port}"


def refuse_open_door(host: str, token: str) -> None:
    """Raises ValueError for an address that other machines can reach, without a token."""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback and not token:
        raise ValueError(f"--host {host!r} can be reached by others: set {TOKEN_VARIABLE} to a secret, or stay on 127.0.0.1")


def refuse_elsewhere(settings: RewardSettings) -> None:
    """Raises ValueError for rewards that the server would have to ask others for."""
    elsewhere = {"remote.urls": settings.remote.urls, "judge.urls": settings.judge.urls, "models": settings.models}
    for name, value in elsewhere.items():
        if value:
            raise ValueError(f"reward.{name} is set, and `reward serve` pays for rules and the user's function alone: leave it out")


def serve(server: RewardServer, pool: RewardPool) -> None:
    """Answer until SIGTERM or SIGINT, on the main thread and with the open pool. Who still waits then gets status 503."""
    tickets: list[Ticket] = []
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    listener = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    listener.start()
    try:
        for number in STOP_SIGNALS:
            signal.signal(number, _stop)
        while True:
            tickets = _next(server.waiting)
            if tickets:
                _answer(tickets, pool)
    except Stopped:
        server.shutdown()
        _turn_away([*tickets, *_taken(server.waiting)])
    finally:
        server.shutdown()
        server.server_close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    """The first signal ends the service; a second one must not disturb the end."""
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Stopped


def _next(waiting: queue.SimpleQueue[Ticket]) -> list[Ticket]:
    """Those that wait, or nothing after a while."""
    try:
        return [waiting.get(timeout=WAIT_S), *_taken(waiting)]
    except queue.Empty:
        return []


def _taken(waiting: queue.SimpleQueue[Ticket]) -> list[Ticket]:
    """Everything that is in the queue now."""
    return [waiting.get_nowait() for _ in range(waiting.qsize())]


def _answer(tickets: Sequence[Ticket], pool: RewardPool) -> None:
    scores = iter(pool.score([given for ticket in tickets for given in ticket.inputs if given is not None]))
    for ticket in tickets:
        ticket.scores.set_result([Score(None, {}, NO_RESPONSE) if given is None else next(scores) for given in ticket.inputs])


def _turn_away(tickets: Sequence[Ticket]) -> None:
    for ticket in tickets:
        ticket.scores.cancel()  # does nothing to one that has its scores
    deadline = time.monotonic() + FAREWELL_S
    for ticket in tickets:
        ticket.sent.wait(max(0.0, deadline - time.monotonic()))


class _Refusal(Exception):
    """A request that is not scored: status and what to mend."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """GET /health, and POST to any other path."""

    server: RewardServer
    timeout = SOCKET_TIMEOUT_S

    def do_GET(self) -> None:
        if self.path == "/health":
            return self._send(200, {"status": "ok"})
        self._send(404, {"error": "GET answers /health alone: post queries, prompts and labels"})

    def do_POST(self) -> None:
        try:
            body = self._body()
            ticket = Ticket(read_question(body, opening=self.server.opening))
        except BadQuestion as problem:
            return self._send(400, {"error": str(problem)})
        except _Refusal as problem:
            return self._send(problem.status, {"error": str(problem)})
        self.server.waiting.put(ticket)
        try:
            self._send(200, answer_of(ticket.scores.result()))
        except CancelledError:
            self._send(503, {"error": "the server is going down"})
        finally:
            ticket.sent.set()

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise _Refusal(411, "send a Content-Length")
        size = int(length[:MAX_DIGITS])
        if size > MAX_BODY_BYTES:
            raise _Refusal(413, f"the body has {size} bytes or more, at most {MAX_BODY_BYTES} are read: send fewer queries at once")
        if not self._has_token():
            while size > 0 and (block := self.rfile.read1(BLOCK_BYTES)):  # a client hears the answer only when its body has been taken
                size -= len(block)
            raise _Refusal(401, f"send the token of {TOKEN_VARIABLE} as `Authorization: Bearer TOKEN`")
        if self.headers.get_content_type() != "application/json":  # which no page in a browser may send to this machine unasked
            raise _Refusal(415, "send JSON as Content-Type application/json")
        return self.rfile.read(size)

    def _has_token(self) -> bool:
        """Compared in constant time."""
        sent = self.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        return not self.server.token or hmac.compare_digest(sent, f"Bearer {self.server.token}".encode())

    def _send(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        logger.debug("%s " + format, self.address_string(), *arguments)
