"""JSON in frames between the scoring process and its workers, which run users' code: nothing is unpickled, nothing waited for."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

MAX_ANSWER_BYTES = 4 * 2**20
"""Of one message from a worker."""
_BLOCK = 2**18
_HEADER = struct.Struct(">I")


class UnreadableFrame(Exception):
    """What a worker has sent is no message; the text is the reason that a response is invalid for."""


def frame(content: Any) -> bytes:
    """JSON with its length before it."""
    body = json.dumps(content).encode()
    return _HEADER.pack(len(body)) + body


def receive(stream: BinaryIO) -> Any:
    """The worker's way to read: waits for a whole message. Raises: EOFError when the other end has gone."""
    header = stream.read(_HEADER.size)
    body = stream.read(*_HEADER.unpack(header)) if len(header) == _HEADER.size else b""
    if not body:
        raise EOFError
    return json.loads(body)


class Channel:
    """The parent's end of a connection: it sends and receives what it can, and never waits."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._received, self._unsent = bytearray(), bytearray()
        self.is_open = True
        """Whether the other end is there."""

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._connection.close()

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def send(self, content: Any) -> None:
        """Send a message; what does not fit goes with later calls of `flush`."""
        self._unsent += frame(content)
        self.flush()

    def flush(self) -> None:
        """Send on, as far as the other end reads."""
        try:
            while self._unsent:
                del self._unsent[: self._connection.send(self._unsent[:_BLOCK])]
        except BlockingIOError:
            return
        except OSError:  # the other end has gone, as `receive` will see
            self._unsent.clear()

    def receive(self) -> Iterator[Any]:
        """The whole messages that have come, of one block only: who sends without end must not keep the parent from the others.

        Raises: UnreadableFrame for what is no message.
        """
        self._read_block()
        while len(self._received) >= _HEADER.size:
            (size,) = _HEADER.unpack_from(self._received)
            if size > MAX_ANSWER_BYTES:
                raise UnreadableFrame("answer too large")
            if len(self._received) < _HEADER.size + size:
                return
            body = bytes(self._received[_HEADER.size : _HEADER.size + size])
            del self._received[: _HEADER.size + size]
            try:
                yield json.loads(body)
            except (ValueError, RecursionError):
                raise UnreadableFrame("answer is not JSON") from None

    def _read_block(self) -> None:
        try:
            block = self._connection.recv(_BLOCK)
        except BlockingIOError:
            return
        except OSError:
            block = b""
        self.is_open = bool(block)
        self._received += block
