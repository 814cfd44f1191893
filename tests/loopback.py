"""Reward servers on this machine that fail as they are told."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler, dict, int], None]
"""Handler, decoded body, number of the request at this server from 0 -> writes the answer."""


@dataclass
class Loopback:
    """A running server."""

    url: str
    bodies: list[dict] = field(default_factory=list)
    headers: list[dict] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def with_enough_time(score: Callable[[float], list[Any]]) -> list[Any]:
    """Rewards within the first budget, in seconds, in which every request came to an end: a busy machine needs a larger one."""
    for budget_s in (2.0, 10.0, 60.0):
        found = score(budget_s)
        if not any("no answer in time" in (one.invalid or "") for one in found):
            break
    return found


@contextmanager
def loopback(answer: Answer) -> Iterator[Loopback]:
    """A server on a free port whose every answer is written by `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with running.lock:
                number = len(running.bodies)
                running.bodies.append(body)
                running.headers.append(dict(self.headers))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client may have gone
                answer(self, body, number)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        closing = threading.Event()
        daemon_threads = True
        request_queue_size = 128  # with the usual 5, connections that come together wait a second

    server = Server(("127.0.0.1", 0), Handler)
    running = Loopback(f"http://127.0.0.1:{server.server_port}/get_reward")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield running
    finally:
        Server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def loopbacks(*answers: Answer) -> Iterator[list[Loopback]]:
    """Several servers."""
    with ExitStack() as stack:
        yield [stack.enter_context(loopback(answer)) for answer in answers]


def send(handler: BaseHTTPRequestHandler, content: object, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
    """A whole answer; content that is bytes goes out as it is."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
