"""BFD's sockets in namespaces: TTL, addresses and interface of what comes, ports and marks of what goes."""

from __future__ import annotations

import dataclasses
import functools
import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from bgpsvc.guard.bfd_sockets import Datagram, NotOpened, Receiver, Sender
from bgpsvc.guard.model import BfdSettings
from tests.netns.namespaces import Namespace, wait_until

V4 = BfdSettings("169.254.10.1", "169.254.10.2", 50, 3)
V6 = BfdSettings("fd00:10::1", "fd00:10::2", 50, 3)
MANY = BfdSettings("169.254.10.1", "169.254.10.2", 50, 3, multihop=True)
BOTH = pytest.mark.parametrize("settings", [V4, V6], ids=["IPv4", "IPv6"])


@pytest.fixture(scope="module")
def cable() -> Iterator[tuple[Namespace, Namespace]]:
    with Namespace() as ours, Namespace() as peer:
        ours.veth("t1", peer, "p1", ["169.254.10.1/30", "fd00:10::1/64"])
        peer.ip("addr add 169.254.10.2/30 dev p1")
        peer.ip("addr add fd00:10::2/64 dev p1 nodad")
        for settings in (V4, V6):
            wake(ours, peer, settings)
            wake(peer, ours, dataclasses.replace(settings, local=settings.peer, peer=settings.local))
        yield ours, peer


def wake(ours: Namespace, peer: Namespace, settings: BfdSettings) -> None:
    """Send until something arrives: a new cable loses what comes before the kernel has taken note of it."""
    with closing(open_in(ours, settings)) as receiver, peers_socket(peer, settings, 255) as sock:
        wait_until(
            lambda: sock.sendto(b"wake", (settings.local, 3784)) and receiver.read(), "the cable is in use"
        )


def family(settings: BfdSettings) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in settings.local else socket.AF_INET


def open_in(namespace: Namespace, settings: BfdSettings) -> Receiver:
    with namespace.entered():
        return Receiver.open(family(settings), settings.multihop)


def send_in(namespace: Namespace, sender: Sender, packet: bytes) -> str | None:
    with namespace.entered():
        return sender.send(packet)


def one(receiver: Receiver) -> Datagram:
    assert select.select([receiver], [], [], 30)[0], "no packet came"
    (datagram,) = receiver.read()
    return datagram


def peers_socket(namespace: Namespace, settings: BfdSettings, ttl: int) -> socket.socket:
    """As anybody could have one."""
    with namespace.entered():
        sock = socket.socket(family(settings), socket.SOCK_DGRAM)
    six = ":" in settings.local
    sock.setsockopt(
        socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP,
        socket.IPV6_UNICAST_HOPS if six else socket.IP_TTL,
        ttl,
    )
    sock.bind((settings.peer, 0))
    return sock


@BOTH
def test_what_comes(cable: tuple[Namespace, Namespace], settings: BfdSettings) -> None:
    """RFC 5881 5: the TTL is looked at; and where a packet came to is known, for finding its session."""
    ours, peer = cable
    with ours.entered():
        index = socket.if_nametoindex("t1")
    with closing(open_in(ours, settings)) as receiver:
        for ttl in (255, 254):
            with peers_socket(peer, settings, ttl) as sock:
                sock.sendto(b"x", (settings.local, 3784))
            local = socket.inet_pton(family(settings), settings.local)
            assert one(receiver) == Datagram(b"x", ttl == 255, local, settings.peer, index)


def test_over_several_hops_any_ttl_will_do(cable: tuple[Namespace, Namespace]) -> None:
    """RFC 5883 5."""
    ours, peer = cable
    with closing(open_in(ours, MANY)) as receiver, peers_socket(peer, MANY, 9) as sock:
        sock.sendto(b"x", (MANY.local, 4784))
        assert one(receiver).ttl_ok


@BOTH
def test_a_flood_from_elsewhere_is_dropped_by_the_kernel(
    cable: tuple[Namespace, Namespace], settings: BfdSettings
) -> None:
    ours, peer = cable
    six = ":" in settings.local
    others = [f"fd00:99::{n:x}" if six else f"192.0.2.{n}" for n in range(1, 200)]
    with closing(open_in(ours, settings)) as receiver, peers_socket(peer, settings, 255) as sock:

        def passes(peers: list[str]) -> bool:
            receiver.only_from(peers)
            sock.sendto(b"x", (settings.local, 3784))
            receiver.only_from([settings.peer])
            sock.sendto(b"last", (settings.local, 3784))  # nothing overtakes on a cable
            found: list[bytes] = []
            while b"last" not in found:
                assert select.select([receiver], [], [], 30)[0], "no packet came"
                found += [datagram.data for datagram in receiver.read()]
            return b"x" in found

        # More than the kernel could be told are not kept out; and there is no filter to be taken off yet.
        assert passes([f"fd00:98::{n:x}" if six else f"10.0.{n // 250}.{n % 250}" for n in range(2000)])
        assert not passes([])
        assert not passes(others)
        assert passes([*others, settings.peer])


def test_all_that_waits_is_read_at_once(cable: tuple[Namespace, Namespace]) -> None:
    ours, peer = cable
    with closing(open_in(ours, V4)) as receiver, peers_socket(peer, V4, 255) as sock:
        for number in range(500):
            sock.sendto(b"%d" % number, (V4.local, 3784))
        assert [datagram.data for datagram in receiver.read()] == [b"%d" % number for number in range(500)]
        assert receiver.read() == []


@pytest.mark.parametrize(("settings", "port"), [(V4, 3784), (V6, 3784), (MANY, 4784)])
def test_what_goes(cable: tuple[Namespace, Namespace], settings: BfdSettings, port: int) -> None:
    """RFC 5881 4 and 5: source port from 49152 on, the same for all packets; TTL 255; marked as CS6."""
    ours, peer = cable
    six = ":" in settings.local
    with peer.entered():
        sock = socket.socket(family(settings), socket.SOCK_DGRAM)
    with sock, closing(Sender(settings, "t1")) as sender:
        level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
        for option in (66, 51) if six else (13, 12):  # receive traffic class or TOS, hop limit or TTL
            sock.setsockopt(level, option, 1)
        sock.settimeout(10)
        sock.bind((settings.peer, port))
        assert send_in(ours, sender, b"first") is None
        assert send_in(ours, sender, b"second") is None
        ports = set()
        for expected in (b"first", b"second"):
            data, ancillary, _flags, source = sock.recvmsg(100, 200)
            assert data == expected
            assert source[0] == settings.local
            ports.add(source[1])
            marks = {kind: value for _level, kind, value in ancillary}
            assert marks[socket.IPV6_TCLASS if six else socket.IP_TOS][0] == 0xC0
            assert marks[socket.IPV6_HOPLIMIT if six else socket.IP_TTL] == struct.pack("=i", 255)
        assert ports == {sender.port}
        assert 49152 <= (sender.port or 0) <= 65535


def test_a_port_is_kept_and_shared_with_nobody_else(cable: tuple[Namespace, Namespace]) -> None:
    """RFC 5881 4: unique among sessions; another process goes on with it while the first still has it."""
    ours, _peer = cable
    with closing(Sender(V4, "t1")) as first, closing(Sender(V4, "t1")) as second:
        assert send_in(ours, first, b"x") is None
        assert send_in(ours, second, b"x") is None
        assert first.port != second.port
        with closing(Sender(V4, "t1", first.port)) as successor:
            assert send_in(ours, successor, b"x") is None
            assert successor.port == first.port


def test_a_kept_port_that_another_program_took(cable: tuple[Namespace, Namespace]) -> None:
    ours, _peer = cable
    with ours.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((V4.local, 50_000))
        with closing(Sender(V4, "t1", 50_000)) as sender:
            assert sender.send(b"x") is None
            assert sender.port not in (None, 50_000)


def test_a_missing_interface_is_a_reason_until_it_comes(make_namespace: Callable[[], Namespace]) -> None:
    ours, peer = make_namespace(), make_namespace()
    with (
        closing(open_in(peer, BfdSettings(V4.peer, V4.local, 50, 3))) as receiver,
        closing(Sender(V4, "t1")) as sender,
    ):
        assert "No such device" in str(send_in(ours, sender, b"x"))
        for _ in range(2):  # the second time it is another interface of the same name
            ours.veth("t1", peer, "p1", [])
            assert "assign requested address" in str(send_in(ours, sender, b"x"))
            ours.ip("addr add 169.254.10.1/30 dev t1")
            peer.ip("addr add 169.254.10.2/30 dev p1")
            again = functools.partial(send_in, ours, sender, b"here")
            wait_until(lambda: again() is None and receiver.read(), "a packet arrives")  # noqa: B023
            port = sender.port
            ours.ip("link del t1")
            assert send_in(ours, sender, b"x") is not None
        assert sender.port == port


def test_a_receiver_whose_port_is_taken_says_so(cable: tuple[Namespace, Namespace]) -> None:
    ours, _peer = cable
    with (
        closing(open_in(ours, V4)),
        pytest.raises(NotOpened, match="IPv4 UDP port 3784: another program has it"),
    ):
        open_in(ours, V4)
    open_in(ours, V4).close()


def test_another_bfd_daemon_cannot_take_our_packets(cable: tuple[Namespace, Namespace]) -> None:
    ours, _peer = cable
    with (
        closing(open_in(ours, V4)),
        ours.entered(),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("0.0.0.0", 3784))
