"""HTTP requests under one deadline: the only owner of aiohttp.

No redirect is followed, no proxy is asked, no body is decompressed. Name servers are asked on daemon threads, since a resolver knows no
deadline: one that hangs delays neither its request nor the end of the process.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

T = TypeVar("T")

BLOCK_BYTES = 2**16
HEADERS = {"User-Agent": "lmm-r1-mega", "Accept-Encoding": "identity"}

Address = tuple[Any, ...]
"""An entry of `socket.getaddrinfo`: family, type, protocol, name, and (address, port, ...)."""
Resolve = Callable[..., list[Address]]
"""`socket.getaddrinfo` or what answers like it."""


class RequestFailed(Exception):
    """No answer, or not a whole one; the text says why."""


class BodyTooLarge(RequestFailed):
    """The answer has more bytes than are read."""


@dataclass(frozen=True)
class HttpAnswer:
    """A server's answer. The body is read at status 200 only."""

    status: int
    phrase: str
    """What the server calls the status, for example `Not Found`."""
    headers: Mapping[str, str]
    body: bytes = b""


async def request(
    url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None, max_bytes: int, address: Address | None = None
) -> HttpAnswer:
    """GET, or POST with a body, over a connection of its own; with `address` that connection goes nowhere else.

    The caller sets the deadline (`asyncio.timeout`). The URL goes out as it is spelled.

    Raises: RequestFailed, whatever the server does.
    """
    try:
        connector = aiohttp.TCPConnector(resolver=_Resolver(address), force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector, headers=HEADERS, auto_decompress=False, timeout=aiohttp.ClientTimeout()) as session,
            session.request(
                "GET" if body is None else "POST", URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
            ) as response,
        ):
            content = await _body(response, max_bytes) if response.status == 200 else b""
            return HttpAnswer(response.status, response.reason or "", response.headers, content)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise RequestFailed(str(error) or type(error).__name__) from error


async def look_up(host: str, port: int, resolve: Resolve = socket.getaddrinfo) -> list[Address]:
    """The addresses of a host. Raises: OSError or UnicodeError of the look-up."""
    return await asyncio.wrap_future(in_background(lambda: resolve(host, port, type=socket.SOCK_STREAM)))


def in_background(call: Callable[[], T]) -> Future[T]:
    """The call on a thread that neither an error here nor the end of the process waits for."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name="lmm-r1-mega background", daemon=True).start()
    return future


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    content = bytearray()
    try:
        async for block in response.content.iter_chunked(BLOCK_BYTES):
            content += block
            if len(content) > max_bytes:
                raise BodyTooLarge(f"the answer has more than {max_bytes} bytes")
    except aiohttp.ClientPayloadError as error:
        missing = f"{response.content_length - response.content.total_bytes} bytes " if response.content_length else ""
        raise RequestFailed(f"the answer ends {missing}too early") from error
    return bytes(content)


class _Resolver(AbstractResolver):
    """Gives the connection its address: the one that was checked, or what a name server says."""

    def __init__(self, address: Address | None) -> None:
        self._address = address

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        del family  # a hint of aiohttp's happy eyeballs: all addresses are given
        addresses = [self._address] if self._address else await look_up(host, port)
        return [
            ResolveResult(hostname=host, host=address[0], port=address[1], family=family, proto=proto, flags=socket.AI_NUMERICHOST)
            for family, _, proto, _, address in addresses
        ]

    async def close(self) -> None:
        """Nothing is kept open."""
