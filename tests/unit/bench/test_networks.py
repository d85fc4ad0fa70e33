"""What is announced, and the filter that lets only a sample of its notifications through."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest

from tests.bench.monitor import RTM_DELROUTE, RTM_NEWROUTE, attach, sample_filter
from tests.bench.networks import FAMILIES, IPV4, IPV6, Family, updates
from tests.fakes import bgp_wire as wire


def messages(data: bytes) -> list[wire.Received]:
    found = []
    while data:
        length, kind = struct.unpack_from("!HB", data, 16)
        found.append(wire.decode(kind, data[19:length]))
        data = data[length:]
    return found


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("per_update", [5, 270])
def test_updates_announce_every_network_once_and_end_with_end_of_rib(family: Family, per_update: int) -> None:
    next_hop = "169.254.8.2" if family is IPV4 else "fd00::2"
    *announcing, last = messages(updates(family, 600, per_update, 65500, next_hop))
    announced = [prefix for message in announcing for prefix in message.announced]
    assert announced == [family.text(index) for index in range(600)]
    assert len(announcing) == -(-600 // per_update)
    assert len({message.attributes[2] for message in announcing}) == len(announcing), "an AS path for each"
    assert last.end_of_rib == family.name


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_numbers_and_addresses_of_networks(family: Family) -> None:
    for index in (0, 63, 64, 65_536, 999_999):
        assert family.index(family.address(index)) == index
        assert str(ipaddress.ip_network(family.text(index))) == family.text(index), "no host bits"
    assert len({family.address(index) for index in range(3000)}) == 3000


def notification(
    family: Family, address: bytes, kind: int = RTM_NEWROUTE, length: int | None = None
) -> bytes:
    """A route as the kernel tells of it: RTA_TABLE, then RTA_DST."""
    head = struct.pack("=BBBBBBBBI", family.number, family.length if length is None else length, *([0] * 7))
    body = head + struct.pack("=HHI", 8, 15, 254) + struct.pack("=HH", 4 + len(address), 1) + address
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def passed(family: Family, count: int, sent: list[bytes]) -> list[bytes]:
    """What the filter lets through, run by the kernel on a pair of unix sockets."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        attach(ours, sample_filter(family, count))
        ours.setblocking(False)
        found = []
        for data in sent:
            theirs.send(data)
            try:
                found.append(ours.recv(1000))
            except BlockingIOError:
                continue
        return found


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_filter_passes_every_64th_network_and_the_last(family: Family) -> None:
    count = 65_536 + 10
    looked_at = [notification(family, family.address(index)) for index in (0, 64, 65_536, count - 1)]
    others = [notification(family, family.address(index)) for index in (1, 63, 65, count - 2, count)]
    assert passed(family, count, [*looked_at, *others]) == looked_at
    gone = notification(family, family.address(64), RTM_DELROUTE)
    assert passed(family, count, [gone]) == [gone]


def test_filter_passes_all_networks_of_a_small_table_and_nothing_else() -> None:
    all_of_them = [notification(IPV4, IPV4.address(index)) for index in range(100)]
    assert passed(IPV4, 100, all_of_them) == all_of_them
    nothing = [
        notification(IPV4, IPV4.address(0), kind=16),
        notification(IPV4, IPV4.address(0), length=25),
        notification(IPV6, IPV6.address(0)),
    ]
    assert passed(IPV4, 100, nothing) == []
