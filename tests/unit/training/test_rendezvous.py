"""What the ranks find each other by, and who else finds it."""

import socket
from datetime import timedelta

import psutil
import pytest
import torch.distributed as dist

from lmm_r1_mega.cluster.environment import interface_of
from lmm_r1_mega.training.parallel import _open_store

LIMIT = timedelta(seconds=60)


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def test_several_machines_meet_on_the_network_between_them_alone():
    host = "127.0.0.11"
    port = free_port(host)
    first = _open_store(f"tcp://{host}:{port}", rank=0, num_ranks=1, timeout=LIMIT)
    listening = {one.laddr.ip for one in psutil.Process().net_connections("inet") if one.status == "LISTEN" and one.laddr.port == port}
    assert listening == {host}
    other = _open_store(f"tcp://{host}:{port}", rank=1, num_ranks=1, timeout=LIMIT)
    first.set("from", "first")
    assert other.get("from") == b"first"


def test_one_machine_meets_at_a_file_and_listens_nowhere(tmp_path):
    before = psutil.Process().net_connections("inet")
    first, other = (_open_store(f"file://{tmp_path}/rendezvous", rank=rank, num_ranks=2, timeout=LIMIT) for rank in range(2))
    assert isinstance(first, dist.FileStore) and psutil.Process().net_connections("inet") == before
    first.set("from", "first")
    assert other.get("from") == b"first"


@pytest.mark.parametrize(("address", "name"), [("127.0.0.1", "lo"), ("127.0.0.11", "lo"), ("192.0.2.77", None)])
def test_the_interface_that_has_an_address(address, name):
    assert interface_of(address) == name
