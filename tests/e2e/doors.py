"""Every socket that a run listens on, and what clients get out of it."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import ray

PATIENCE_S = 0.5
"""How long a client waits for a word: those that have something to say say it at once."""
RANK_JOINS = b"\0\xce\xf7\x85\x3c" + b"\x0d" + b"ping"
"""What a client of torch's TCPStore says first: its magic number, then a ping, which comes back."""

NODE = ("node_id", "ff" * 28)
"""Without it a call of Ray's syncer ends the server, whoever makes it, before the token is looked at."""


@dataclass(frozen=True)
class Door:
    """A listening socket."""

    host: str
    port: int
    process: str

    @property
    def is_outer(self) -> bool:
        """Whether other machines reach it."""
        address = ipaddress.ip_address(self.host)
        return not (getattr(address, "ipv4_mapped", None) or address).is_loopback


def doors_of(pid: int) -> Iterator[Door]:
    """Listening sockets of a process and of all that it started."""
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            name = " ".join(process.cmdline())[:80]
            for one in process.net_connections("inet"):
                if one.status == psutil.CONN_LISTEN:
                    yield Door(one.laddr.ip, one.laddr.port, name)


def served(doors: list[Door], methods: list[str], *, token: str | None = None) -> dict[Door, list[str]]:
    """What is had at each door, with a token or without one; doors where nothing is had are left out."""
    with ThreadPoolExecutor(16) as pool:
        had = zip(doors, pool.map(lambda door: _served(door.port, methods, token), doors), strict=True)
        return {door: found for door, found in had if found}


def _served(port: int, methods: list[str], token: str | None) -> list[str]:
    greeting = _says(port, b"hello\n" * 20)
    if greeting[3:4] == b"\4":  # the settings with which a server of HTTP/2 begins
        return _granted(port, methods, token)
    answers = {
        "a line": greeting and not re.match(rb"HTTP/1.\d 400", greeting),
        "a page": re.match(rb"HTTP/1.\d (?!401)", _says(port, b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")),
        "the ranks": _says(port, RANK_JOINS).startswith(b"ping"),
    }
    return [name for name, answer in answers.items() if answer]


def _says(port: int, request: bytes) -> bytes:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(request)
        return connection.recv(64)
    return b""


def _granted(port: int, methods: list[str], token: str | None) -> list[str]:
    """Methods of a gRPC server that do not ask for a token, or for another one."""
    metadata = [NODE, ("authorization", f"Bearer {token}")] if token else [NODE]
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        return [method for method in methods if not _is_refused(channel, method, metadata)]


def _is_refused(channel: grpc.Channel, method: str, metadata: list[tuple[str, str]]) -> bool:
    call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
    try:
        call(b"", timeout=30, metadata=metadata)
    except grpc.RpcError as error:
        return error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED)  # or it is not a method of this server
    return False


def methods_of_ray() -> list[str]:
    """All remote calls that Ray's programs name."""
    folder = Path(ray.__file__).parent
    programs = [folder / "_raylet.so", folder / "core/src/ray/gcs/gcs_server", folder / "core/src/ray/raylet/raylet"]
    return sorted({name.decode() for program in programs for name in re.findall(rb"/ray\.rpc\.[\w.]+/\w+", program.read_bytes())})
