"""One HTTP request with a hard time limit: the only owner of `http.client`. No redirect is followed, no proxy is asked."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import json
import socket
import threading
import time
from typing import Any
from urllib.parse import SplitResult, urlsplit

MAX_ANSWER_BYTES = 64 * 2**20
FINAL = frozenset({400, 401, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422, 501})
"""Statuses that the same request will meet again."""
BUSY = frozenset({429, 503})


class NoAnswer(Exception):
    """The request failed and may be repeated; the text is the reason that a sample is invalid for, so it names no address."""


class Refused(NoAnswer):
    """The same request will not be answered by this server."""


class Busy(NoAnswer):
    """The server asks to be left alone for `pause_s`."""

    def __init__(self, reason: str, pause_s: float) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


def post_json(url: str, body: bytes, *, headers: dict[str, str], timeout_s: float) -> Any:
    """Post JSON and return the decoded answer; connecting, sending, waiting and reading take at most `timeout_s` together.

    Raises: NoAnswer with the reason; nothing else, whatever the server does.
    """
    started = time.monotonic()
    try:
        raw = _post(urlsplit(url), body, {"Content-Type": "application/json", "Connection": "close", **headers}, timeout_s)
    except NoAnswer:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        is_late = isinstance(error, TimeoutError) or time.monotonic() - started >= timeout_s
        raise NoAnswer("timeout" if is_late else "connection failed") from error
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise NoAnswer("answer is not JSON") from error


def _post(url: SplitResult, body: bytes, headers: dict[str, str], timeout_s: float) -> bytes:
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(str(url.hostname), url.port, timeout=timeout_s)
    deadline = time.monotonic() + timeout_s
    try:
        connection.connect()
        # A timeout of a socket is one of each read: a server that sends a byte a second would never meet it.
        cut = threading.Timer(max(0.0, deadline - time.monotonic()), _shut, [connection.sock])
        cut.daemon = True
        cut.start()
        try:
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            connection.request("POST", target, body=body, headers=headers)
            raw = _read(connection.getresponse())
        finally:
            cut.cancel()
        if time.monotonic() >= deadline:
            raise TimeoutError  # what was read may be the part that came before the cut
        return raw
    finally:
        connection.close()


def _read(response: http.client.HTTPResponse) -> bytes:
    if response.status != 200:
        raise _failure(response)
    raw = response.read(MAX_ANSWER_BYTES + 1)
    if len(raw) > MAX_ANSWER_BYTES:
        raise Refused("answer too large")
    if response.length:  # with a limit `read` itself is content with less than was promised
        raise http.client.IncompleteRead(raw, response.length)
    return raw


def _failure(response: http.client.HTTPResponse) -> NoAnswer:
    reason = f"status {response.status}"
    pause_s = retry_after_s(response.getheader("Retry-After"))
    if response.status in BUSY and pause_s is not None:
        return Busy(reason, pause_s)
    is_final = response.status in FINAL or 300 <= response.status < 400
    return Refused(reason) if is_final else NoAnswer(reason)


def retry_after_s(header: str | None) -> float | None:
    """Seconds to wait by a `Retry-After` header, which holds seconds or a date (RFC 9110, 10.2.3); None where there is none to read.

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


def _shut(sock: socket.socket) -> None:
    """Ends a connection under the thread that reads from it."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # of the plain socket: TLS would first take its state away from the reader
