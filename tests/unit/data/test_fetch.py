"""Fetching, against a server on the loopback device and against name servers that are functions."""

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lmm_r1_mega.data.images.fetch import FetchRefused, UrlOrigin, allowed_origin, fetch

PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::1",
    "2001:0:1::1",
]


class Server(ThreadingHTTPServer):
    """Counts its requests; what a path gets is written in `do_GET`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str]] = []

    @property
    def port(self) -> int:
        return self.server_address[1]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Host"]))
        if self.path == "/slow":  # every byte begins the socket's own limit anew
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                for _ in range(100):
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.05)
        elif self.path == "/slow-header":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            with suppress(OSError):
                for _ in range(100):
                    self.wfile.write(b"H")
                    self.wfile.flush()
                    time.sleep(0.05)
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
        elif self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.port}/secret")
            self.end_headers()
        elif self.path == "/gone":
            self.send_error(404)
        elif self.path == "/nonsense":
            self.wfile.write(b"\x00\x01\x02\r\n\r\n")
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"body of " + self.path.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def answering(*addresses: str):
    """A name server that says this, whatever it is asked."""

    def resolve(host: str, port: int, **_: object) -> list[tuple]:
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for family, address in zip(families, addresses, strict=True)]

    return resolve


class TestOrigin:
    @pytest.mark.parametrize(
        ("url", "hosts", "origin"),
        [
            ("https://a.example/x.png", ("a.example",), ("https", "a.example", 443)),
            ("HTTPS://A.Example:443", ("a.example",), ("https", "a.example", 443)),
            ("https://a.example:8443/x?y=%20&z=[1]", ("b.example", "a.example:8443"), ("https", "a.example", 8443)),
            ("http://10.0.0.1:80/x", ("http://10.0.0.1",), ("http", "10.0.0.1", 80)),
            ("https://[2001:db8::1]/x", ("[2001:db8::1]",), ("https", "2001:db8::1", 443)),
        ],
    )
    def test_listed_ones(self, url, hosts, origin):
        assert allowed_origin(url, hosts) == UrlOrigin(*origin)

    @pytest.mark.parametrize(
        "url",
        ["http://a.example/", "https://a.example:444/", "https://b.example/", "https://x.a.example/", "https://a/"],
    )
    def test_another_scheme_port_or_host_is_not_listed(self, url):
        with pytest.raises(FetchRefused, match=r"not fetched from .* \(data.url_hosts: a.example\)"):
            allowed_origin(url, ("a.example",))


class TestAddresses:
    @pytest.mark.parametrize("address", PRIVATE)
    def test_none_of_this_machine_or_network(self, address):
        with pytest.raises(FetchRefused, match="not on the public network, fix: list that address"):
            fetch("https://a.example/", ("a.example",), max_bytes=10, resolve=answering(address))

    def test_one_bad_address_among_good_ones_is_enough(self):
        with pytest.raises(FetchRefused, match=r"a.example is at 127.0.0.1"):
            fetch("https://a.example/", ("a.example",), max_bytes=10, resolve=answering("8.8.8.8", "127.0.0.1"))

    def test_a_listed_address_is_connected_to(self, server):
        hosts = (f"http://images.example:{server.port}", "127.0.0.1")
        body = fetch(f"http://images.example:{server.port}/a?b", hosts, max_bytes=100, resolve=answering("127.0.0.1"))
        assert body == b"body of /a?b"
        assert server.asked == [("/a?b", f"images.example:{server.port}")]

    def test_the_name_is_looked_up_once(self, server):
        """A name server that says another address the second time leads nowhere else."""
        answers = iter([answering("127.0.0.1"), answering("169.254.169.254")])
        url = f"http://images.example:{server.port}/"
        hosts = (f"http://images.example:{server.port}", "127.0.0.1")
        assert fetch(url, hosts, max_bytes=100, resolve=lambda *a, **k: next(answers)(*a, **k)) == b"body of /"
        assert len(list(answers)) == 1

    def test_the_addresses_above_are_spelled_right(self):
        assert all(ipaddress.ip_address(address) for address in PRIVATE)


class TestAnswers:
    def ask(self, server: Server, path: str, **limits: float) -> bytes:
        url = f"http://127.0.0.1:{server.port}{path}"
        return fetch(url, (f"http://127.0.0.1:{server.port}",), **{"max_bytes": 1000, "deadline_s": 20} | limits)

    def test_the_root_where_there_is_no_path(self, server):
        assert self.ask(server, "") == b"body of /"

    def test_redirects_are_not_followed(self, server):
        with pytest.raises(FetchRefused, match="answered 302 Found: redirects are not followed"):
            self.ask(server, "/moved")
        assert [path for path, _ in server.asked] == ["/moved"]

    @pytest.mark.parametrize(
        ("path", "reason"),
        [("/gone", "answered 404 Not Found"), ("/short", "the answer ends 96 bytes too early"), ("/nonsense", "the request failed")],
    )
    def test_what_is_no_whole_answer(self, server, path, reason):
        with pytest.raises(FetchRefused, match=reason):
            self.ask(server, path)

    def test_an_answer_as_long_as_allowed_and_one_byte_more(self, server):
        path = "/" + "x" * 91
        assert len(self.ask(server, path, max_bytes=100)) == 100
        with pytest.raises(FetchRefused, match=r"more bytes than data.max_image_bytes 99"):
            self.ask(server, path, max_bytes=99)

    @pytest.mark.parametrize("path", ["/slow", "/slow-header"])
    def test_one_deadline_for_all_of_it(self, server, path):
        with pytest.raises(FetchRefused, match=r"no whole answer within 0.3 s"):
            self.ask(server, path, deadline_s=0.3)

    def test_a_name_server_that_does_not_answer(self):
        never = threading.Event()
        with pytest.raises(FetchRefused, match=r"a.example was not looked up within 0.1 s"):
            fetch("https://a.example/", ("a.example",), max_bytes=10, deadline_s=0.1, resolve=lambda *_, **__: never.wait(5))
        never.set()

    def test_https_is_not_spoken_in_the_clear(self, server):
        hosts = (f"127.0.0.1:{server.port}",)
        with pytest.raises(FetchRefused, match="the request failed"):
            fetch(f"https://127.0.0.1:{server.port}/", hosts, max_bytes=10, deadline_s=20)
        assert server.asked == []
