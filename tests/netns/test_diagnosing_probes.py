"""Probes between two namespaces: what real kernels answer, and that a TCP listener never hears of them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from bgpsvc.diagnosing import links, probes, syn
from bgpsvc.diagnosing.evidence import Md5Counters
from bgpsvc.diagnosing.hearing import Hearing
from tests.netns.namespaces import Namespace, wait_until

HERE, THERE = "10.1.0.1", "10.1.0.2"
_TCP_MD5SIG = 14


@dataclass
class Cable:
    """Two namespaces, `t1` between them."""

    here: Namespace
    there: Namespace


@pytest.fixture(scope="module")
def cable() -> Iterator[Cable]:
    with Namespace() as here, Namespace() as there:
        here.veth("t1", there, "t1", [f"{HERE}/24"])
        there.ip(f"addr add {THERE}/24 dev t1")
        yield Cable(here, there)


@contextmanager
def listening(cable: Cable, key: bytes | None) -> Iterator[socket.socket]:
    """A listener on port 179 of the other end, that wants signatures if there is a key."""
    with cable.there.entered():
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((THERE, 179))
        if key is not None:
            address = struct.pack("=HH4s120x", socket.AF_INET, 0, socket.inet_aton(HERE))
            option = address + struct.pack("=HHI80s", 0, len(key), 0, key)
            listener.setsockopt(socket.IPPROTO_TCP, _TCP_MD5SIG, option)
        listener.listen(1)
        listener.setblocking(False)
        yield listener


def half_open(cable: Cable) -> list[str]:
    """Connections in state SYN_RECV at the other end."""
    lines = cable.there.run("cat", "/proc/net/tcp").splitlines()[1:]
    return [line for line in lines if line.split()[3] == "03"]


@pytest.mark.parametrize(
    ("theirs", "ours", "answer"),
    [
        (None, None, "open"),
        (b"key", b"key", "open"),
        (b"key", b"other", "silent"),
        (b"key", None, "silent"),
        (None, b"key", "silent"),
    ],
)
def test_a_syn_is_signed_as_kernels_check_it(
    cable: Cable, monkeypatch: pytest.MonkeyPatch, theirs: bytes | None, ours: bytes | None, answer: str
) -> None:
    if answer == "silent":
        monkeypatch.setattr(probes, "INSIDE_TIMEOUT", 0.3)
    with cable.there.entered():
        before = probes.count_md5()
    with listening(cable, theirs) as listener:
        with cable.here.entered():
            found = asyncio.run(probes.tcp_syn("t1", HERE, THERE, 179, ours))
        with pytest.raises(BlockingIOError):
            listener.accept()
        wait_until(lambda: not half_open(cable), "the peer keeps nothing of it")
    assert found.answer == answer
    with cable.there.entered():
        counted = probes.count_md5().since(before)
    if answer == "open":
        assert counted == Md5Counters()
    else:
        assert counted.total > 0


def test_nobody_listens(cable: Cable) -> None:
    async def ask() -> None:
        tcp, udp, version_1 = await asyncio.gather(
            probes.tcp_syn("t1", HERE, THERE, 179),
            probes.ike(HERE, THERE, 500, "ikev2"),
            probes.ike(HERE, THERE, 4500, "ikev1"),
        )
        assert tcp.answer == "refused"
        for reply in (udp, version_1):
            assert (reply.answer, reply.detail, reply.by) == ("unreachable", "port unreachable", THERE)

    with cable.here.entered():
        asyncio.run(ask())


def test_what_cannot_be_sent_is_an_answer_too(cable: Cable) -> None:
    async def ask() -> None:
        assert (await probes.ike("10.9.9.9", THERE, 500, "ikev2")).answer == "failed"
        assert (await probes.tcp_syn("none0", HERE, THERE, 179)).answer == "failed"
        assert (await probes.ping_through("none0", HERE, THERE)).error is not None
        assert not (await probes.offer("10.9.9.9", THERE, "ikev1")).answered

    with cable.here.entered():
        asyncio.run(ask())


def test_the_largest_packet_is_found_exactly(cable: Cable) -> None:
    nft = cable.there.run
    nft("nft", "add table inet big")
    nft("nft", "add chain inet big in { type filter hook input priority 0; }")
    nft("nft", "add rule inet big in ip length > 1231 drop")
    try:
        with cable.here.entered():
            assert asyncio.run(probes.largest_packet("t1", HERE, THERE, 1500)) == 1231
    finally:
        nft("nft", "delete table inet big")
    with cable.here.entered():
        assert asyncio.run(probes.largest_packet("t1", HERE, THERE, 1500)) == 1500
        pinged = asyncio.run(probes.ping_through("t1", HERE, THERE))
    assert (pinged.requests, pinged.replies) == (3, 3)


def test_loss_is_no_limit_of_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is lost once or twice, among other sizes too, is asked again."""
    asked: list[int] = []

    async def sized(interface: str, source: str, destination: str, sizes: list[int], *_: float) -> set[int]:
        asked.extend(sizes)
        return {size for size in sizes if size <= passes and (size < 1000 or asked.count(size) > 1)}

    monkeypatch.setattr(probes, "_sized", sized)
    for passes in (1500, 999, 700):
        asked.clear()
        assert asyncio.run(probes.largest_packet("t1", HERE, THERE, 1500)) == passes


def test_links_addresses_and_ways(cable: Cable) -> None:
    async def look() -> None:
        link = await links.link("t1")
        assert link is not None
        assert (link.up, link.mtu) == (True, 1500)
        assert f"{HERE}/24" in link.addresses
        assert await links.link("none0") is None
        assert await links.elsewhere({HERE}, "lo") == ((HERE, "t1"),)
        assert await links.elsewhere({HERE}, "t1") == ()
        way = await links.way(HERE, THERE)
        assert (way.local_present, way.source, way.interface, way.error) == (True, HERE, "t1", None)
        assert (await links.way(HERE, "8.8.8.8")).error == "network is unreachable"
        assert not (await links.way("10.9.9.9", THERE)).local_present

    with cable.here.entered():
        asyncio.run(look())


def test_only_calls_from_tunnel_networks_to_bgp_are_heard(cable: Cable) -> None:
    async def listen() -> None:
        hearing = Hearing()
        hearing.start()
        try:
            with cable.there.entered():
                others = [
                    probes.tcp_syn("t1", THERE, HERE, 179),
                    probes.tcp_syn("t1", "169.254.9.2", "169.254.9.1", 180),
                ]
                await asyncio.gather(*others, probes.tcp_syn("t1", "169.254.9.2", "169.254.9.1", 179, b"key"))
            assert hearing.last(THERE) is None
            heard = hearing.last("169.254.9.2")
            assert heard is not None
            assert syn.signed_with(heard[1], b"key")
        finally:
            hearing.stop()

    cable.here.ip("addr add 169.254.9.1/30 dev t1")
    cable.there.ip("addr add 169.254.9.2/30 dev t1")
    with cable.here.entered():
        asyncio.run(listen())
