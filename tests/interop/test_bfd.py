"""BFD with BIRD and with FRR's bfdd: RFC 5881 and 5883, intervals, authentication, failures, going on."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import time
from collections.abc import Iterator

import pytest

from bgpsvc.guard.model import BfdSettings
from tests.interop.bfd_node import Node, bird_bfd, frr_bfdd
from tests.netns.namespaces import Namespace, wait_until

OURS, PEER = "169.254.10.1", "169.254.10.2"
SETTINGS = BfdSettings(OURS, PEER, interval_ms=50, multiplier=3)
STEADY = dataclasses.replace(SETTINGS, multiplier=30)
"""Stays up on a machine that stalls for a second."""
FAR = dataclasses.replace(SETTINGS, local="10.1.1.1", peer="10.1.1.2", multihop=True)
SIX = dataclasses.replace(SETTINGS, local="fd00:10::1", peer="fd00:10::2")
KEYED = dataclasses.replace(SETTINGS, key_id=7, key=b"weasel")
PASSWORD = 'authentication keyed sha1; password "weasel" { id 7; };'
GENEROUS = 10.0
"""Seconds that a busy machine may need beyond what is measured."""


@pytest.fixture(scope="module")
def cable() -> Iterator[tuple[Namespace, Namespace]]:
    """Our end and the peer's, with a way to each other's far addresses."""
    with Namespace() as ours, Namespace() as peer:
        ours.veth("t1", peer, "t1", [f"{OURS}/30", "fd00:10::1/64"])
        peer.ip(f"addr add {PEER}/30 dev t1")
        peer.ip("addr add fd00:10::2/64 dev t1 nodad")
        for node, mine, other, via in (
            (ours, "10.1.1.1", "10.1.1.2", PEER),
            (peer, "10.1.1.2", "10.1.1.1", OURS),
        ):
            node.ip(f"addr add {mine}/32 dev lo")
            node.ip(f"route add {other} via {via} src {mine}")
        yield ours, peer


def bird_block(settings: BfdSettings) -> tuple[str, str]:
    """BIRD's side of settings: its interface block and its neighbor."""
    auth = PASSWORD if settings.key else ""
    options = f"{{ interval {settings.interval_ms} ms; multiplier {settings.multiplier}; {auth} }};"
    if settings.multihop:
        return f"multihop {options}", f"neighbor {settings.local} local {settings.peer} multihop on;"
    return f'interface "t1" {options}', f'neighbor {settings.local} dev "t1";'


def frr_lines(settings: BfdSettings) -> list[str]:
    path = f" multihop local-address {settings.peer}" if settings.multihop else ""
    if ":" in settings.local:
        path = f" local-address {settings.peer}"
    return [
        f"peer {settings.local}{path}",
        f" receive-interval {settings.interval_ms}",
        f" transmit-interval {settings.interval_ms}",
        f" detect-multiplier {settings.multiplier}",
    ]


def detected(node: Node, pid: int) -> None:
    """End the peer and have that noticed."""
    detection_ms = node.status().detection_ms
    gone = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    noticed = node.until(up=False)
    assert noticed - gone < detection_ms / 1000 + GENEROUS
    assert node.changes[-1][1].reason == f"no packet for {detection_ms:g} ms: Control Detection Time Expired"
    assert node.status().diagnostic == "Control Detection Time Expired"


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        KEYED,
        FAR,
        SIX,
        dataclasses.replace(SETTINGS, interval_ms=10, multiplier=30),
    ],
    ids=["single hop", "keyed SHA1", "multihop", "IPv6", "10 ms"],
)
def test_bird(cable: tuple[Namespace, Namespace], settings: BfdSettings) -> None:
    ours, peer = cable
    with bird_bfd(peer, *bird_block(settings)) as bird, Node(ours, settings) as node:
        node.until(up=True, detection_ms=settings.interval_ms * settings.multiplier)
        status = node.status()
        assert (status.transmit_ms, status.receive_ms) == (settings.interval_ms, settings.interval_ms)
        assert status.rejected == 0, status.last_rejected
        assert node.source_port in range(49152, 65536)
        agreed = ("Up", settings.interval_ms / 1000, settings.interval_ms * settings.multiplier / 1000)
        wait_until(lambda: bird_session(bird.command("show bfd sessions")) == agreed, "BIRD agrees")
        detected(node, bird.pid)
    assert node.complaints == []


def bird_session(text: str) -> tuple[str, float, float]:
    """State, interval and timeout in seconds of BIRD's only session."""
    found = re.search(r"^\S+ +\S+ +(\w+) +\S+ +([\d.]+) +([\d.]+)$", text, re.MULTILINE)
    assert found is not None, text
    return found[1], float(found[2]), float(found[3])


@pytest.mark.parametrize(
    "settings",
    [SETTINGS, FAR, dataclasses.replace(SETTINGS, interval_ms=10, multiplier=30)],
    ids=["single hop", "multihop", "10 ms"],
)
def test_frr(cable: tuple[Namespace, Namespace], settings: BfdSettings) -> None:
    ours, peer = cable
    with frr_bfdd(peer, frr_lines(settings)) as bfdd, Node(ours, settings) as node:
        node.until(up=True, detection_ms=settings.interval_ms * settings.multiplier)
        agreed = {
            "status": "up",
            "remote-receive-interval": settings.interval_ms,
            "remote-transmit-interval": settings.interval_ms,
            "remote-detect-multiplier": settings.multiplier,
        }
        wait_until(lambda: agreed.items() <= bfdd.peer().items(), "bfdd agrees")
        assert node.status().rejected == 0
        detected(node, bfdd.pid)


def test_wrong_key_never_comes_up(cable: tuple[Namespace, Namespace]) -> None:
    ours, peer = cable
    with bird_bfd(peer, *bird_block(KEYED)), Node(ours, dataclasses.replace(KEYED, key=b"stoat")) as node:
        wait_until(lambda: node.status().rejected, "a packet is refused")
        assert "digest" in str(node.status().last_rejected)
        assert node.up() is None


def test_other_intervals_on_either_side(cable: tuple[Namespace, Namespace]) -> None:
    """RFC 5880 6.8.3: by a Poll Sequence, and never down."""
    ours, peer = cable
    with frr_bfdd(peer, frr_lines(STEADY)) as bfdd, Node(ours, STEADY) as node:
        node.until(up=True, detection_ms=1500)
        node.adjust(dataclasses.replace(STEADY, interval_ms=400))
        node.until(up=True, detection_ms=12000)
        wait_until(lambda: node.status().transmit_ms == 400, "bfdd has answered our Poll")
        assert bfdd.peer()["remote-receive-interval"] == 400
        bfdd.configure(f"peer {OURS}", "transmit-interval 700", "receive-interval 600", "detect-multiplier 4")
        node.until(up=True, detection_ms=2800)
        wait_until(lambda: node.status().transmit_ms == 600, "we have taken over bfdd's interval")
        node.adjust(STEADY)
        bfdd.configure(f"peer {OURS}", "transmit-interval 50", "receive-interval 50", "detect-multiplier 30")
        node.until(up=True, detection_ms=1500)
        wait_until(lambda: node.status().transmit_ms == 50, "we are fast again")
        assert all(change.up for _at, change in node.changes)
        assert node.status().flaps == 0


def test_switched_off_by_the_peer_is_no_failure(cable: tuple[Namespace, Namespace]) -> None:
    """RFC 5880 6.8.16, RFC 5882 3.2."""
    ours, peer = cable
    with frr_bfdd(peer, frr_lines(STEADY)) as bfdd, Node(ours, STEADY) as node:
        node.until(up=True, detection_ms=1500)
        bfdd.configure(f"peer {OURS}", "shutdown")
        node.until(up=None)
        assert node.status().remote_state == "AdminDown"
        bfdd.configure(f"peer {OURS}", "no shutdown")
        node.until(up=True, detection_ms=1500)
        assert [change.up for _at, change in node.changes if not change.up] == [None]


def test_switched_off_by_us(cable: tuple[Namespace, Namespace]) -> None:
    ours, peer = cable
    with frr_bfdd(peer, frr_lines(STEADY)) as bfdd, Node(ours, STEADY) as node:
        node.until(up=True, detection_ms=1500)
        node.shut()
        wait_until(lambda: bfdd.peer()["status"] == "down", "bfdd says down")
        assert bfdd.peer()["diagnostic"] == "neighbor signaled session down"


@pytest.mark.parametrize("settings", [SETTINGS, KEYED], ids=["plain", "keyed SHA1"])
def test_another_process_goes_on_unnoticed(cable: tuple[Namespace, Namespace], settings: BfdSettings) -> None:
    ours, peer = cable
    slow = dataclasses.replace(settings, interval_ms=300, multiplier=5)
    with bird_bfd(peer, *bird_block(slow)) as bird, Node(ours, slow) as node:
        node.until(up=True, detection_ms=1500)
        wait_until(lambda: bird_session(bird.command("show bfd sessions"))[0] == "Up", "BIRD says Up")
        since, port, told = bird.command("show bfd sessions"), node.source_port, len(node.changes)
        for _ in range(3):
            received = node.status().received
            node.pause()
            node.go_on()
            wait_until(lambda: node.status().received > received + 1, "the peer goes on too")  # noqa: B023
        assert bird.command("show bfd sessions") == since
        assert node.source_port == port
        assert len(node.changes) == told
        assert node.status().rejected == 0


def test_a_peer_that_restarts_comes_back(cable: tuple[Namespace, Namespace]) -> None:
    """RFC 5880 6.8.1: with authentication its sequence begins anew, which is taken after a while."""
    ours, peer = cable
    with Node(ours, KEYED) as node:
        with bird_bfd(peer, *bird_block(KEYED)) as bird:
            node.until(up=True, detection_ms=150)
            detected(node, bird.pid)
        with bird_bfd(peer, *bird_block(KEYED)):
            node.until(up=True, detection_ms=150)
