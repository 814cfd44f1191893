"""JSON in frames between the scoring process and its workers, which run users' code: nothing is unpickled, nothing waited for."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

MAX_ANSWER_BYTES = 4 * 2**20
"""Of one message from a worker."""
_BLOCK, _BLOCKS_AT_ONCE = 2**16, 4
_HEADER = struct.Struct(">I")


class Unreadable(Exception):
    """What a worker has sent is no message; the text is the reason that a response is invalid for."""


def frame(content: Any) -> bytes:
    """JSON with its length before it."""
    body = json.dumps(content).encode()
    return _HEADER.pack(len(body)) + body


def receive(connection: socket.socket) -> Any:
    """The worker's way to read: waits for a whole message. Raises: EOFError where the other end has gone."""
    (size,) = _HEADER.unpack(_exactly(connection, _HEADER.size))
    return json.loads(_exactly(connection, size))


def _exactly(connection: socket.socket, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        block = connection.recv(min(_BLOCK, size - len(content)))
        if not block:
            raise EOFError
        content += block
    return bytes(content)


class Channel:
    """The parent's end of a connection: it sends and takes what it can, and never waits."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._inbox, self._outbox = bytearray(), bytearray()
        self.is_closed = False
        """The other end has gone."""

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._connection.close()

    @property
    def has_unsent(self) -> bool:
        return bool(self._outbox)

    def post(self, content: Any) -> None:
        """Send a message, what does not fit by and by (`flush`)."""
        self._outbox += frame(content)
        self.flush()

    def flush(self) -> None:
        """Send on, as far as the other end reads."""
        try:
            while self._outbox:
                del self._outbox[: self._connection.send(self._outbox[:_BLOCK])]
        except BlockingIOError:
            return
        except OSError:  # it has gone, as `take` will see
            self._outbox.clear()

    def take(self) -> list[Any]:
        """The whole messages that have come. Raises: Unreadable for what is none."""
        self._read()
        messages = []
        while len(self._inbox) >= _HEADER.size:
            (size,) = _HEADER.unpack_from(self._inbox)
            if size > MAX_ANSWER_BYTES:
                raise Unreadable("answer too large")
            if len(self._inbox) < _HEADER.size + size:
                break
            body = bytes(self._inbox[_HEADER.size : _HEADER.size + size])
            del self._inbox[: _HEADER.size + size]
            try:
                messages.append(json.loads(body))
            except (ValueError, RecursionError):
                raise Unreadable("answer is not JSON") from None
        return messages

    def _read(self) -> None:
        """What is there, but only so much at a time: who sends without end must not keep the parent from the others."""
        try:
            for _ in range(_BLOCKS_AT_ONCE):
                block = self._connection.recv(_BLOCK)
                if not block:
                    self.is_closed = True
                    return
                self._inbox += block
        except BlockingIOError:
            return
        except OSError:
            self.is_closed = True
