"""Which session a BFD packet is for: RFC 5880 6.3 and 6.8.6, RFC 5881 3, RFC 5883 4."""

from __future__ import annotations

import dataclasses
import socket

import pytest

from bgpsvc.guard.bfd_sockets import Datagram, Demultiplexer
from bgpsvc.guard.bfd_wire import ControlPacket, State, pack
from bgpsvc.guard.model import BfdSettings

V4 = BfdSettings("169.254.10.1", "169.254.10.2", 50, 3)
MANY = dataclasses.replace(V4, multihop=True)


def arrived(yours: int, interface: int = 5, local: str = V4.local, peer: str = V4.peer) -> Datagram:
    data = pack(ControlPacket(0, State.DOWN, 3, 77, yours, 1_000_000, 50_000))
    return Datagram(data, True, socket.inet_pton(socket.AF_INET, local), peer, interface)


def test_a_discriminator_is_unique_and_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    table: Demultiplexer[str] = Demultiplexer()
    table.add(7, V4, "t1", "one hop")
    drawn = iter((0, 7, 8))
    monkeypatch.setattr("os.urandom", lambda size: next(drawn).to_bytes(size, "big"))
    assert table.unused() == 8


@pytest.mark.parametrize(
    ("section", "datagram", "multihop", "found"),
    [
        ("RFC 5880 6.3: by Your Discriminator", arrived(1), False, "one hop"),
        ("6.3: whatever address and interface", arrived(1, 9, "192.0.2.9", "192.0.2.8"), False, "one hop"),
        ("6.8.6: unknown, to be discarded", arrived(3), False, None),
        ("RFC 5881 3: addresses and interface", arrived(0), False, "one hop"),
        ("RFC 5881 3: another interface", arrived(0, 6), False, None),
        ("RFC 5881 3: an interface that went", arrived(0, 9), False, None),
        ("RFC 5881 3: another peer", arrived(0, peer="169.254.10.3"), False, None),
        ("RFC 5881 3: another address of ours", arrived(0, local="169.254.10.9"), False, None),
        ("RFC 5883 4: addresses, any interface", arrived(0, 9), True, "several"),
        ("RFC 5883 4: by Your Discriminator", arrived(2), True, "several"),
        ("RFC 5881 5: not around the check of the TTL", arrived(1), True, None),
        ("RFC 5881 5", arrived(2), False, None),
        ("too short", Datagram(b"\x20\x40", True, b"\xa9\xfe\x0a\x01", V4.peer, 5), False, "one hop"),
    ],
)
def test_demultiplexing(section: str, datagram: Datagram, multihop: bool, found: str | None) -> None:
    names = {5: "t1", 6: "t2"}

    def name_of(index: int) -> str:
        if index not in names:
            raise OSError("no such device")
        return names[index]

    table: Demultiplexer[str] = Demultiplexer(name_of)
    table.add(1, V4, "t1", "one hop")
    table.add(2, MANY, "t1", "several")
    assert table.find(datagram, multihop) == found
    table.remove(1)
    table.remove(2)
    table.remove(3)
    assert table.find(datagram, multihop) is None
