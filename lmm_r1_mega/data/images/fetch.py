"""Images from the network: the only place that connects anywhere for data, and only to hosts that `data.url_hosts` names.

A URL is compared with the list as it is spelled, its host's addresses are looked up once and checked, and the connection goes to an
address that was checked: a second answer of the name server cannot lead elsewhere. Redirects are not followed. One deadline covers
all of it, one limit the size.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from dataclasses import dataclass

from lmm_r1_mega.http_client import Address, BodyTooLarge, HttpAnswer, RequestFailed, Resolve, look_up, request

DEADLINE_S = 30.0

_HOST = r"(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f.]*:[0-9a-f:.]*\])(?::(?P<port>[1-9][0-9]{0,4}))?"
_URL = re.compile(rf"(?P<scheme>https?)://{_HOST}(?P<target>/[!$-\[\]_a-z|~]*)?", re.IGNORECASE | re.ASCII)  # no user, \, blank or #
_PORTS = {"https": 443, "http": 80}


class FetchRefused(ValueError):
    """A URL that is not asked for, or whose answer is not taken; the message says why and what to do."""


@dataclass(frozen=True)
class UrlOrigin:
    """Where a request goes: all that the list of hosts is about."""

    scheme: str
    host: str
    """Lower case; an IPv6 address without brackets."""
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def allowed_origin(url: str, hosts: tuple[str, ...]) -> UrlOrigin:
    """The origin of a URL that the list allows. Nothing is looked up.

    An entry reads `host`, `host:port` or `http://host:port`: without `http://` it means https, without a port the usual one.

    Raises: FetchRefused when the URL is malformed or its origin is not in the list.
    """
    origin = _origin_of(url)
    if origin is None:
        raise FetchRefused("it is no plain URL, fix: write https://host/path, without user, blanks or fragment, special characters as %XX")
    if origin not in map(_listed_origin, hosts):
        listed = ", ".join(hosts) or "none"
        raise FetchRefused(f"images are not fetched from {origin} (data.url_hosts: {listed}), fix: list that host")
    return origin


def fetch(
    url: str, hosts: tuple[str, ...], *, max_bytes: int, deadline_s: float = DEADLINE_S, resolve: Resolve = socket.getaddrinfo
) -> bytes:
    """The body of the answer to a GET. Not for use inside an event loop.

    Raises: FetchRefused when the URL is not allowed, or the host has a forbidden address or does not answer 200 within the limits.
    """
    return asyncio.run(_fetch(url, hosts, max_bytes=max_bytes, deadline_s=deadline_s, resolve=resolve))


async def _fetch(url: str, hosts: tuple[str, ...], *, max_bytes: int, deadline_s: float, resolve: Resolve) -> bytes:
    origin = allowed_origin(url, hosts)
    address = None
    try:
        async with asyncio.timeout(deadline_s):
            address = _checked_address(origin, hosts, await look_up(origin.host, origin.port, resolve))
            answer = await request(f"{origin}{_target_of(url)}", max_bytes=max_bytes, address=address)
    except TimeoutError as error:
        reason = f"no whole answer within {deadline_s:g} s" if address else f"{origin.host} was not looked up within {deadline_s:g} s"
        raise FetchRefused(f"{reason}, fix: download it and give its path") from error
    except UnicodeError as error:
        raise FetchRefused(f"{origin.host} is no host name: {error}") from error
    except BodyTooLarge as error:
        raise FetchRefused(
            f"the answer has more bytes than data.max_image_bytes {max_bytes}, fix: shrink it, or raise the setting"
        ) from error
    except (RequestFailed, OSError) as error:
        raise FetchRefused(f"the request failed ({error}), fix: download it and give its path") from error
    return _body_of(answer)


def _origin_of(url: str) -> UrlOrigin | None:
    match = _URL.fullmatch(url)
    if match is None:
        return None
    scheme, host = match["scheme"].lower(), match["host"].lower().strip("[]")
    port = int(match["port"] or _PORTS[scheme])
    return UrlOrigin(scheme, host, port) if port < 2**16 else None


def _listed_origin(entry: str) -> UrlOrigin | None:
    return _origin_of(entry if "://" in entry else f"https://{entry}")


def _checked_address(origin: UrlOrigin, hosts: tuple[str, ...], addresses: list[Address]) -> Address:
    """The first address, if all may be connected to."""
    listed = {known.host for known in map(_listed_origin, hosts) if known}
    for *_, (ip, *_) in addresses:
        if not (_is_public(ip) or ip in listed):
            raise FetchRefused(f"{origin.host} is at {ip}, which is not on the public network, fix: list that address in data.url_hosts")
    if not addresses:
        raise FetchRefused(f"{origin.host} has no address")
    return addresses[0]


def _is_public(ip: str) -> bool:
    """Not private, loopback, link-local, multicast or reserved. IPv6 addresses that stand for an IPv4 one never are."""
    address = ipaddress.ip_address(ip)
    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.sixtofour or address.teredo or address.is_site_local):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _target_of(url: str) -> str:
    match = _URL.fullmatch(url)
    return (match and match["target"]) or "/"


def _body_of(answer: HttpAnswer) -> bytes:
    if answer.status != 200:
        hint = ": redirects are not followed, fix: give the address it leads to" if 300 <= answer.status < 400 else ""
        raise FetchRefused(f"the server answered {answer.status} {answer.phrase}{hint}")
    return answer.body
