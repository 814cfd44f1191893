"""References that want out of the declared folders and hosts: judged by what the interpreter itself reports to have opened."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from test_fetch import PRIVATE, serving

# Runs in a process of its own, since an audit hook cannot be taken away again.
WATCHED = """
import json, os, sys
from pathlib import Path

from lmm_r1_mega.data.images import fetch
from lmm_r1_mega.data.images.decode import ImageLimits, ImageRefused, load_image, locate_image, measure_image
from PIL import Image

plan = json.loads(sys.stdin.read())
os.chdir(plan["folder"])
limits = ImageLimits(Path(plan["folder"]), (Path(plan["root"]),), 2**20, 2**20, tuple(plan["hosts"]))
Image.init()
"host".encode("idna")  # imports what name look-ups need
opened, asked, connected, started = [], [], [], []


def watch(event, arguments):
    if event in ("open", "os.listdir", "os.scandir"):
        opened.append(os.fsdecode(arguments[0]) if isinstance(arguments[0], (str, bytes)) else repr(arguments[0]))
    elif event == "socket.connect":
        connected.append(list(arguments[1][:2]))
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        asked.append(arguments[0])
    elif event in ("subprocess.Popen", "os.exec", "os.system", "os.posix_spawn", "urllib.Request"):
        started.append(event)


def outcome(reference):
    try:
        source = locate_image(reference, limits)
        measure_image(source, limits)
        return list(load_image(source, limits).size)
    except ImageRefused as refusal:
        return str(refusal)


def answering(address):
    return lambda host, port, **_: [(10 if ":" in address else 2, 1, 6, "", (address, port))]


def led_astray(url, address):
    try:
        fetch.fetch(url, limits.url_hosts, max_bytes=100, resolve=answering(address))
    except fetch.FetchRefused as refusal:
        return str(refusal)


sys.addaudithook(watch)
outcomes = [outcome(reference) for reference in plan["references"]]
astray = [led_astray(plan["named"], address) for address in plan["addresses"]]
report = {"outcomes": outcomes, "astray": astray, "opened": opened, "asked": asked, "connected": connected, "started": started}
sys.stdout.buffer.write(json.dumps(report).encode("utf-8", "backslashreplace"))
"""


@pytest.fixture
def places(tmp_path) -> dict[str, Path]:
    """A data folder and a root beside what nobody may read, and links of all kinds from the first to the last."""
    names = ("data", "root", "secret", "data2", "DATA")
    places = {name: tmp_path / name for name in names}
    for place in places.values():
        place.mkdir()
        Image.new("RGB", (3, 2)).save(place / "x.png")
    data, secret = places["data"], places["secret"]
    (data / "sub").mkdir()
    (data / "link.png").symlink_to(secret / "x.png")
    (data / "relative.png").symlink_to("../secret/x.png")
    (data / "linked").symlink_to(secret)
    (data / "sub" / "up").symlink_to("../..")
    (data / "chain.png").symlink_to("link.png")
    (data / "loop.png").symlink_to("loop.png")
    (data / "proc").symlink_to("/proc/self")
    (data / "root.png").symlink_to("/")
    (data / "fd.png").symlink_to("/dev/fd/0")
    os.mkfifo(data / "pipe.png")
    return places


def watched(
    places: dict[str, Path], references: list[str], *, hosts: tuple[str, ...] = (), named: str = "", addresses: tuple[str, ...] = ()
):
    plan = {"folder": str(places["data"]), "root": str(places["root"]), "references": references, "hosts": hosts}
    plan |= {"named": named, "addresses": addresses}
    done = subprocess.run([sys.executable, "-c", WATCHED], input=json.dumps(plan), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def malicious_paths(places: dict[str, Path]) -> list[str]:
    secret, data = places["secret"], places["data"]
    up = "../" * 12
    inner = str(secret / "x.png").lstrip("/")
    return [
        # up and out
        "../secret/x.png",
        "./../secret/x.png",
        "sub/../../secret/x.png",
        "missing/../../secret/x.png",
        "..//secret//x.png",
        "../data/../secret/x.png",
        ".././.././../etc/passwd",
        up + inner,
        up + "etc/passwd",
        "sub/up/secret/x.png",
        "../root/../secret/x.png",
        "../data2/x.png",
        "../DATA/x.png",
        "..",
        ".",
        "/",
        "//",
        "../data",
        # absolute
        str(secret / "x.png"),
        f"/{secret}/x.png",
        f"//{secret}/x.png",
        f"{data}/../secret/x.png",
        f"{data}2/x.png",
        "/etc/passwd",
        "/etc/hosts",
        "/root/.ssh/id_rsa",
        "/proc/self/environ",
        "/proc/self/mem",
        "/proc/self/fd/0",
        "/proc/self/cwd/../secret/x.png",
        f"/proc/self/root{secret}/x.png",
        "/proc/1/maps",
        "/proc/thread-self/status",
        "/dev/zero",
        "/dev/stdin",
        "/dev/fd/0",
        "/dev/shm",
        "/dev/tty",
        "/sys/kernel/notes",
        # links
        "link.png",
        "relative.png",
        "chain.png",
        "linked/x.png",
        "loop.png",
        "proc/environ",
        "proc/root/etc/passwd",
        "root.png/etc/passwd",
        "fd.png",
        "pipe.png",
        # file: URIs
        f"file://{secret}/x.png",
        f"file:{secret}/x.png",
        f"file://localhost{secret}/x.png",
        f"FILE://{secret}/x.png",
        f"file://evil.example{data}/x.png",
        f"file://127.0.0.1{data}/x.png",
        f"file:////{secret}/x.png",
        f"file://{data}/..{secret}/x.png",
        f"file://{data}/%2e%2e/secret/x.png",
        f"file://{data}/%2E%2E%2Fsecret%2Fx.png",
        f"file://{data}/..%2fsecret/x.png",
        f"file://{data}/linked%2fx.png",
        f"file://{data}/x.png%00",
        f"file://{data}/x.png?y",
        f"file://{data}/x.png#y",
        f"file://user@{data}/x.png",
        "file:x.png",
        "file://",
        f"file://[x{data}/x.png",
        f"file://\uff0f{data}/x.png",
        f"file://a\u2100b{data}/x.png",
        "file:///proc/self/environ",
        "file:///%65tc/passwd",
        "file:///dev/stdin",
        # other spellings
        "x.png\0.png",
        "\0",
        "",
        " ",
        "~/x.png",
        "~root/x.png",
        "$HOME/x.png",
        "${PWD}/../secret/x.png",
        "%2e%2e/secret/x.png",
        "..%2fsecret%2fx.png",
        "%252e%252e/secret/x.png",
        "..\\secret\\x.png",
        "\\\\server\\share\\x.png",
        "C:\\secret\\x.png",
        "\uff0e\uff0e/secret/x.png",  # full-width dots
        "\u2025/secret/x.png",  # a two-dot leader
        "..\u2215secret\u2215x.png",  # division slashes
        "..\u200b/secret/x.png",
        "x.png\n/etc/passwd",
        "x\ud800.png",
        "|cat /etc/passwd",
        "a" * 5000,
        "/".join(["a"] * 3000),
        "vsizip://x.png",
        "data:image/png;base64,../secret/x.png",
        "data:text/plain;base64,AAAA",
        "data:,",
        "tiff://x.png",
    ]


def malicious_urls(port: int, other: int) -> list[str]:
    listed = f"127.0.0.1:{port}"
    return [
        # not where it seems to lead
        f"http://{listed}@127.0.0.1:{other}/",
        f"http://127.0.0.1:{other}@{listed}/",
        f"http://{listed}:{other}/",
        f"http://user:password@{listed}/",
        f"http://{listed}#@127.0.0.1:{other}/",
        f"http://{listed}\\@127.0.0.1:{other}/",
        f"http://127.0.0.1:{other}\\@{listed}/",
        f"http://{listed}%40127.0.0.1:{other}/",
        f"http://{listed}.evil.example/",
        f"http://127.0.0.1.evil.example:{port}/",
        f"http://evil.example/{listed}",
        f"http://evil.example/?{listed}",
        f"http://evil.example#{listed}",
        f"http:///{listed}/",
        f"http:/{listed}/",
        f"http:{listed}/",
        f"http:\\\\{listed}\\",
        f"//127.0.0.1:{other}/",
        f" http://{listed}/",
        f"http://{listed}/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        f"http://{listed}/\r\nX-Injected: 1",
        f"http://{listed}\n/",
        f"http://127.0.0.1\t:{port}/",
        f"ht\ttp://{listed}/",
        f"http://{listed}/\u010d\u010a",
        f"https://{listed}\u2044x/",
        # other ports and spellings of the listed address
        "http://127.0.0.1/",
        f"http://127.0.0.1:{other}/",
        f"http://127.0.0.1:0{port}/",
        f"http://127.0.0.1:+{port}/",
        f"http://127.0.0.1:{port + 65536}/",
        "http://127.0.0.1:/",
        f"https://{listed}/",
        f"http://127.0.0.1.:{port}/",
        f"http://2130706433:{port}/",
        f"http://0x7f000001:{port}/",
        f"http://0x7f.1:{port}/",
        f"http://017700000001:{port}/",
        f"http://0177.0.0.1:{port}/",
        f"http://127.1:{port}/",
        f"http://127.0.1:{port}/",
        f"http://0:{port}/",
        f"http://0.0.0.0:{port}/",
        f"http://[::1]:{port}/",
        f"http://[::]:{port}/",
        f"http://[::ffff:127.0.0.1]:{port}/",
        f"http://[::ffff:7f00:1]:{port}/",
        f"http://[0:0:0:0:0:ffff:7f00:0001]:{port}/",
        f"http://[127.0.0.1]:{port}/",
        f"http://[::1%25lo]:{port}/",
        f"http://\uff11\uff12\uff17.0.0.1:{port}/",  # full-width digits
        f"http://\u2460\u2461\u2466.0.0.1:{port}/",  # digits in circles
        f"http://127\u30020\u30020\u30021:{port}/",  # ideographic full stops
        f"http://127\u30020.0.1:{port}/",
        # names
        f"http://localhost:{port}/",
        f"http://LOCALHOST:{port}/",
        f"http://localhost.:{port}/",
        f"http://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3:{port}/",
        f"http://loca\u212ahost:{port}/",  # the Kelvin sign, a letter k once case is folded
        f"http://127.0.0.1.nip.io:{port}/",
        "http://evil.example/",
        "https://images.invalid.evil.example/",
        "https://images.invalid./",
        "https://ximages.invalid/",
        "https://images_invalid/",
        "https://images.invalid:444/",
        "http://images.invalid/",
        "https://images.\u0131nvalid/",  # a dotless i
        "https://images.inva\u00adlid/",  # a soft hyphen
        "https://xn--images-.invalid/",
        "http://169.254.169.254/latest/meta-data/",
        "http://metadata.google.internal/",
        # other schemes
        f"ftp://{listed}/x.png",
        f"gopher://{listed}/_GET",
        "dict://127.0.0.1:11211/stats",
        f"ws://{listed}/",
        "s3://bucket/x.png",
        "gs://bucket/x.png",
        "hf://datasets/x/x.png",
        "ssh://127.0.0.1/x.png",
        "jar:http://evil.example!/x.png",
        "javascript://evil.example/%0aalert(1)",
        f"httpss://{listed}/",
        f"http+unix://{listed}/",
        f"blob:http://{listed}/x",
        "ldap://127.0.0.1/x",
        # redirects
        f"http://{listed}/moved",
    ]


def outside(opened: list[str], places: dict[str, Path]) -> list[str]:
    roots = [os.path.realpath(places[name]) + "/" for name in ("data", "root")]
    return [path for path in opened if not os.path.realpath(places["data"] / path).startswith(tuple(roots))]


def test_no_path_outside_the_roots_is_opened(places):
    paths = malicious_paths(places)
    assert len(set(paths)) == len(paths) >= 80
    allowed = ["x.png", str(places["root"] / "x.png"), f"file://{places['data']}/sub/../x.png"]
    found = watched(places, [*paths, *allowed])
    assert found["outcomes"][len(paths) :] == [[3, 2]] * 3
    assert [path for path, outcome in zip(paths, found["outcomes"], strict=False) if not isinstance(outcome, str)] == []
    assert outside(found["opened"], places) == []
    assert found["asked"] + found["connected"] + found["started"] == []
    assert sum(path.endswith("data/x.png") for path in found["opened"]) == 4  # the hook sees what is opened: twice each


def test_no_address_but_the_listed_one_is_connected_to(places):
    with serving() as server, serving() as other:
        urls = malicious_urls(server.port, other.port)
        assert len(set(urls)) == len(urls) >= 60
        hosts = (f"http://127.0.0.1:{server.port}", "images.invalid")
        url = f"http://127.0.0.1:{server.port}/plain"
        found = watched(places, [*urls, url], hosts=hosts, named="https://images.invalid/x.png", addresses=tuple(PRIVATE[1:]))
    fetched = [asked for asked, outcome in zip([*urls, url], found["outcomes"], strict=True) if "cannot be read as an image" in outcome]
    assert fetched == [url]  # it is no image, but what it is was asked for
    assert [url for url, outcome in zip(urls, found["outcomes"], strict=False) if not isinstance(outcome, str)] == []
    assert all("not on the public network" in refusal for refusal in found["astray"])
    assert {tuple(address) for address in found["connected"]} == {("127.0.0.1", server.port)}
    assert set(found["asked"]) == {"127.0.0.1"}
    assert {path for path, _ in server.asked} == {"/moved", "/plain"}
    assert other.asked == []
    assert outside(found["opened"], places) + found["started"] == []


def test_without_a_list_no_url_is_asked_for(places):
    found = watched(places, malicious_urls(1, 2))
    assert found["asked"] + found["connected"] + found["started"] + outside(found["opened"], places) == []
