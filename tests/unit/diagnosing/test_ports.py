"""Who has a UDP or TCP port."""

from __future__ import annotations

import os
import socket

from bgpsvc.diagnosing.ports import bound, is_bound, is_listened, listeners, owners

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
