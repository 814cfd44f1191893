"""Images from the network: the only place that connects anywhere for data, and only to hosts that `data.url_hosts` names.

A URL is compared with the list as it is spelled, its host's addresses are looked up once and checked, and the connection goes to an
address that was checked: a second answer of the name server cannot lead elsewhere. Redirects are not followed. One deadline covers
all of it, one limit the size.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

DEADLINE_S = 30.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[..., list[tuple[Any, ...]]]
"""`socket.getaddrinfo` or what answers like it."""

_HOST = r"(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f.]*:[0-9a-f:.]*\])(?::(?P<port>[1-9][0-9]{0,4}))?"
_URL = re.compile(rf"(?P<scheme>https?)://{_HOST}(?P<target>/[!$-\[\]_a-z|~]*)?", re.IGNORECASE | re.ASCII)  # no user, \, blank or #
_PORTS = {"https": 443, "http": 80}
_CHUNK_BYTES = 2**16


class FetchRefused(ValueError):
    """A URL that is not asked for, or whose answer is not taken; the message says why and what to do."""


@dataclass(frozen=True)
class Origin:
    """Where a request goes: all that the list of hosts is about."""

    scheme: str
    host: str
    """Lower case; an IPv6 address without brackets."""
    port: int


def allowed_origin(url: str, hosts: tuple[str, ...]) -> Origin:
    """The origin of a URL that the list allows. Nothing is looked up.

    An entry reads `host`, `host:port` or `http://host:port`: without `http://` it means https, without a port the usual one.

    Raises: FetchRefused where the URL is malformed or its origin is not in the list.
    """
    origin = _origin_of(url)
    if origin is None:
        raise FetchRefused("it is no plain URL: write https://host/path, without user, blanks or fragment, special characters as %XX")
    if origin not in map(_listed_origin, hosts):
        listed = ", ".join(hosts) or "none"
        raise FetchRefused(f"images are not fetched from {origin.scheme}://{origin.host}:{origin.port} (data.url_hosts: {listed})")
    return origin


def fetch(
    url: str, hosts: tuple[str, ...], *, max_bytes: int, deadline_s: float = DEADLINE_S, resolve: Resolve = socket.getaddrinfo
) -> bytes:
    """The body of the answer to a GET.

    Raises: FetchRefused where the URL is not allowed, the host has a forbidden address or does not answer 200 within the limits.
    """
    origin, end = allowed_origin(url, hosts), time.monotonic() + deadline_s
    try:
        target = _checked_target(origin, hosts, _resolved(origin, resolve, deadline_s))
        with socket.socket(target.family, socket.SOCK_STREAM) as connection:
            return _ask(connection, origin, target, url, max_bytes=max_bytes, end=end)
    except (OSError, http.client.HTTPException) as error:
        if time.monotonic() >= end:
            raise FetchRefused(f"no whole answer within {deadline_s:g} s: download it and give its path") from error
        raise FetchRefused(f"the request failed ({error or type(error).__name__}): download it and give its path") from error


@dataclass(frozen=True)
class _Target:
    """An address that was checked, as `connect` takes it."""

    family: socket.AddressFamily
    address: tuple[Any, ...]


def _origin_of(url: str) -> Origin | None:
    match = _URL.fullmatch(url)
    if match is None:
        return None
    scheme, host = match["scheme"].lower(), match["host"].lower().strip("[]")
    port = int(match["port"] or _PORTS[scheme])
    return Origin(scheme, host, port) if port < 2**16 else None


def _listed_origin(entry: str) -> Origin | None:
    return _origin_of(entry if "://" in entry else f"https://{entry}")


def _resolved(origin: Origin, resolve: Resolve, deadline_s: float) -> list[tuple[Any, ...]]:
    """The host's addresses, asked for in a thread: a resolver knows no deadline."""
    answer: Future[list[tuple[Any, ...]]] = Future()

    def ask() -> None:
        try:
            answer.set_result(resolve(origin.host, origin.port, type=socket.SOCK_STREAM))
        except Exception as error:  # belongs to whoever waits
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.result(deadline_s)
    except UnicodeError as error:
        raise FetchRefused(f"{origin.host} is no host name: {error}") from error
    except TimeoutError as error:
        raise FetchRefused(f"{origin.host} was not looked up within {deadline_s:g} s") from error


def _checked_target(origin: Origin, hosts: tuple[str, ...], found: list[tuple[Any, ...]]) -> _Target:
    """The first address, if all may be connected to."""
    listed = {known.host for known in map(_listed_origin, hosts) if known}
    for _, _, _, _, address in found:
        if not (_is_public(ipaddress.ip_address(address[0])) or address[0] in listed):
            raise FetchRefused(f"{origin.host} is at {address[0]}, which is not on the public network: list that address in data.url_hosts")
    if not found:
        raise FetchRefused(f"{origin.host} has no address")
    family, _, _, _, address = found[0]
    return _Target(family, address)


def _is_public(address: Address) -> bool:
    """Not private, loopback, link-local, multicast or reserved. IPv6 addresses that stand for an IPv4 one never are."""
    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.sixtofour or address.teredo or address.is_site_local):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _ask(connection: socket.socket, origin: Origin, target: _Target, url: str, *, max_bytes: int, end: float) -> bytes:
    """One request over a fresh socket."""
    with _shut_at(end, connection):
        connection.connect(target.address)
        request = http.client.HTTPConnection(origin.host, origin.port)
        request.sock = _secured(connection, origin)
        with contextlib.closing(request):
            request.request("GET", _path_of(url), headers={"User-Agent": "lmm-r1-mega"})
            return _body(request.getresponse(), max_bytes=max_bytes, end=end)


@contextlib.contextmanager
def _shut_at(end: float, connection: socket.socket) -> Iterator[None]:
    """A socket's own limit begins anew with every byte that comes; this one does not."""
    connection.settimeout(max(0.001, end - time.monotonic()))
    with connection.dup() as twin:  # TLS takes the first one's descriptor over
        watch = threading.Timer(max(0.0, end - time.monotonic()), _shut, [twin])
        watch.daemon = True
        watch.start()
        try:
            yield
        finally:
            watch.cancel()
            watch.join()


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _secured(connection: socket.socket, origin: Origin) -> socket.socket:
    if origin.scheme == "http":
        return connection
    return ssl.create_default_context().wrap_socket(connection, server_hostname=origin.host)


def _path_of(url: str) -> str:
    match = _URL.fullmatch(url)
    return (match and match["target"]) or "/"


def _body(answer: http.client.HTTPResponse, *, max_bytes: int, end: float) -> bytes:
    if answer.status != http.client.OK:
        hint = ": redirects are not followed, give the address it leads to" if 300 <= answer.status < 400 else ""
        raise FetchRefused(f"the server answered {answer.status} {answer.reason}{hint}")
    body = bytearray()
    while chunk := answer.read(_CHUNK_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise FetchRefused(f"the answer has more bytes than data.max_image_bytes {max_bytes}: shrink it, or raise the setting")
    if time.monotonic() >= end:
        raise TimeoutError
    if answer.length:
        raise FetchRefused(f"the answer ends {answer.length} bytes too early")
    return bytes(body)
