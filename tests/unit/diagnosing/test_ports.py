"""Who has a UDP or TCP port."""

from __future__ import annotations

import os
import socket

import pytest

from bgpsvc.diagnosing.ports import bound, holder, is_bound, is_listened, listeners, owners

TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 4123: 00000000:0EC8 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 0
 4124: 0100007F:12B0 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 0
"""  # noqa: E501


def test_sockets_of_a_port() -> None:
    assert bound(TABLE, 3784) == {"4711"}
    assert bound(TABLE, 4784) == {"4712"}
    assert bound(TABLE, 53) == set()


def test_owners_of_a_port() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        assert os.getpid() in owners(port)
        assert is_bound(port)
    assert os.getpid() not in owners(port)


def test_listeners_of_a_port() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        assert listeners(port) == {}  # bound, and nobody can connect
        sock.listen()
        assert os.getpid() in listeners(port)
        assert is_listened(port)


@pytest.mark.parametrize(
    ("family", "at", "v6only", "held"),
    [
        (socket.AF_INET, "0.0.0.0", 0, True),
        (socket.AF_INET, "127.0.0.1", 0, True),
        (socket.AF_INET, "127.0.0.2", 0, False),
        (socket.AF_INET6, "::", 0, True),
        (socket.AF_INET6, "::ffff:127.0.0.1", 0, True),
        (socket.AF_INET6, "::", 1, False),
    ],
)
def test_who_keeps_us_from_listening_at_an_address(
    family: socket.AddressFamily, at: str, v6only: int, held: bool
) -> None:
    with socket.socket(family) as sock:
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        sock.bind((at, 0))
        sock.listen()
        port = sock.getsockname()[1]
        found = holder("127.0.0.1", port)
        assert (found is not None and f"(pid {os.getpid()})" in found) if held else found is None
        assert holder("127.0.0.1", port, but=os.getpid()) is None
    assert holder("127.0.0.1", port) is None
    assert holder("192.0.2.77", port) is None, "an address that comes later"
