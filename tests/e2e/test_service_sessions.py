"""Sessions in trouble: too many prefixes, graceful restart, silence, a helper that dies."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import termios
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.service import (
    END,
    LONG,
    PEER_ASN,
    Site,
    configuration,
    prefixes,
    running,
    table_of,
    tunnel_of,
)
from tests.fakes import bgp_wire as wire
from tests.fakes.bgp_peer import BgpPeer
from tests.netns.namespaces import wait_until

ROUTES = prefixes(200)
SAMPLE = "20.0.7.1"
LIMIT = 100


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """One daemon for all; each test brings its own peers and configuration."""
    with running(configuration() | {"vpn_connections": []}) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_left(site: Site) -> Iterator[None]:
    """A connection that is removed takes its sessions and routes along: every test begins with nothing."""
    yield
    site.reload(configuration() | {"vpn_connections": []})
    site.until_routes([], backups=True)
    assert site.pids("launcher") == [], "no speaker runs without sessions"


def configure(site: Site, **bgp: Any) -> None:
    """Run with these BGP settings on both tunnels."""
    event = site.reload(configuration(hold_time=3, **bgp))
    assert event["kind"] == "config.reloaded"


def bring_up(site: Site, number: int, peer: BgpPeer, routes: list[str]) -> None:
    """The session is up, and the peer's table with its End-of-RIB was taken in."""
    peer.wait_established(peer.log.established + (not peer.established))
    peer.send(table_of(number, routes) + END)
    wait_until(lambda: site.rest.session(number)["end_of_rib"], "End-of-RIB", LONG)


def patient(site: Site, number: int, **options: Any) -> BgpPeer:
    """A peer with the hold time of this file, which sends its KEEPALIVEs accordingly."""
    return site.peer(number, hold_time=3, **options)


def vanish(peer: BgpPeer) -> None:
    """Close TCP without a NOTIFICATION and accept no new connection."""
    lost = peer.log.lost
    peer.pause(True)
    peer.drop()
    peer.wait(lambda: peer.log.lost > lost, "the connection is closed")


def test_prefixes_beyond_the_maximum_are_shed(site: Site) -> None:
    configure(site, max_prefixes=LIMIT)
    with patient(site, 1) as peer:
        bring_up(site, 1, peer, ROUTES)
        site.until_routes(ROUTES[:LIMIT])
        session = site.rest.session(1)
        assert session["prefixes"]["accepted"] == LIMIT
        assert session["prefixes"]["shed"] == len(ROUTES) - LIMIT
        assert site.rest.route(ROUTES[-1])["reason"] == "over_maximum_prefixes"
        event = site.rest.events("session.prefix_limit")[-1]
        assert (event["severity"], event["subject"]) == ("warning", "conn1-tunnel1")

        gone = ROUTES[:150]
        peer.send(wire.update(withdrawn=gone[:75]) + wire.update(withdrawn=gone[75:]))
        site.until_routes(ROUTES[150:])
        assert site.rest.events("session.prefix_limit")[-1]["severity"] == "info"
        assert (peer.log.established, peer.log.lost) == (1, 0), "the session stays up"
        assert not peer.log.of(wire.NOTIFICATION)


@pytest.mark.parametrize("graceful_restart", [0, 120])
def test_the_other_option_tears_the_session_down(site: Site, graceful_restart: int) -> None:
    configure(site, max_prefixes=LIMIT, max_prefixes_action="teardown", graceful_restart=graceful_restart)
    with patient(site, 1) as peer:
        peer.wait_established()
        peer.send(table_of(1, ROUTES) + END)
        wait_until(lambda: site.rest.session(1)["flap_count"] > 0, "the session went down", LONG)
        assert "torn down" in site.rest.events("session.prefix_limit")[-1]["message"]
        peer.wait(lambda: peer.log.lost > 0, "the connection is closed")
        (cease,) = peer.log.of(wire.NOTIFICATION)
        assert cease.body[:2] == bytes((6, 1)), "Maximum Number of Prefixes Reached (RFC 4486 4)"
        error = site.rest.session(1)["last_error"]
        assert (error["code"], error["subcode"], error["direction"]) == (6, 1, "sent")


def test_graceful_restart_moves_traffic_to_the_standby(site: Site) -> None:
    configure(site)
    with patient(site, 1, graceful_restart=30) as one, patient(site, 2, graceful_restart=30) as two:
        bring_up(site, 2, two, ROUTES)
        bring_up(site, 1, one, ROUTES)
        wait_until(lambda: tunnel_of(site, SAMPLE) == "t1", "the active tunnel")
        groups = site.nexthops()
        vanish(one)
        wait_until(lambda: tunnel_of(site, SAMPLE) == "t2", "the standby carries")
        assert site.rest.session(1)["prefixes"]["stale"] == len(ROUTES)
        assert site.kernel_routes() == set(ROUTES)
        assert site.nexthops().keys() == groups.keys(), "one group was replaced, no route was rewritten"
        one.pause(False)
        one.wait_established(2)
        assert tunnel_of(site, SAMPLE) == "t2", "not before its table is complete"
        one.send(table_of(1, ROUTES[:-20]) + END)
        wait_until(lambda: tunnel_of(site, SAMPLE) == "t1", "failback", LONG)
        assert site.rest.session(1)["prefixes"]["stale"] == 0
        assert [c["session"] for c in site.rest.route(ROUTES[-1])["candidates"]] == ["conn1-tunnel2"]


def test_graceful_restart_without_a_standby_keeps_forwarding(site: Site) -> None:
    configure(site)
    with patient(site, 1, graceful_restart=30) as peer:
        bring_up(site, 1, peer, ROUTES)
        site.until_routes(ROUTES)
        vanish(peer)
        wait_until(lambda: site.rest.session(1)["state"] != "established", "the session is down", LONG)
        assert site.kernel_routes() == set(ROUTES)
        assert tunnel_of(site, SAMPLE) == "t1", "the peer keeps forwarding over its restart (RFC 4724 4.2)"
        peer.pause(False)
        peer.wait_established(2)
        peer.send(table_of(1, ROUTES[:-20]))
        wait_until(
            lambda: site.rest.session(1)["prefixes"]["stale"] == 20, "the others are announced again", LONG
        )
        assert site.kernel_routes() == set(ROUTES), "stale ones stay until End-of-RIB"
        peer.send(END)
        site.until_routes(ROUTES[:-20])


def test_stale_routes_go_when_the_restart_time_is_over(site: Site) -> None:
    configure(site)
    with patient(site, 1, graceful_restart=3) as peer:
        bring_up(site, 1, peer, ROUTES)
        site.until_routes(ROUTES)
        vanish(peer)
        wait_until(lambda: site.rest.session(1)["state"] != "established", "the session is down", LONG)
        assert site.kernel_routes() == set(ROUTES)
        site.until_routes([])
        assert "did not return" in site.rest.events("session.error")[-1]["message"]


def test_without_graceful_restart_the_routes_go_with_the_session(site: Site) -> None:
    # By far the longest time of all here: were they to wait for it, the test would end first.
    site.reload(configuration(hold_time=10 * int(LONG)))
    with site.peer(1, hold_time=10 * int(LONG)) as peer:
        bring_up(site, 1, peer, ROUTES)
        site.until_routes(ROUTES)
        vanish(peer)
        site.until_routes([])


def test_a_silent_peer_is_noticed_by_the_hold_time(site: Site) -> None:
    configure(site)
    with patient(site, 1) as one, patient(site, 2) as two:
        bring_up(site, 2, two, ROUTES)
        bring_up(site, 1, one, ROUTES)
        wait_until(lambda: tunnel_of(site, SAMPLE) == "t1", "the active tunnel")
        assert site.rest.session(1)["negotiated"]["hold_time"] == 3
        one.pause(True)
        wait_until(lambda: tunnel_of(site, SAMPLE) == "t2", "the standby carries", LONG)
        error = site.rest.session(1)["last_error"]
        assert (error["code"], error["direction"]) == (4, "sent"), "Hold Timer Expired (RFC 4271 6.5)"


def unread(pid: int) -> int:
    """Bytes that wait in the pipe to a process."""
    pipe = os.open(f"/proc/{pid}/fd/0", os.O_RDONLY | os.O_NONBLOCK)
    try:
        return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
    finally:
        os.close(pipe)


def test_a_killed_relay_loses_nothing_in_the_end(site: Site) -> None:
    configure(site)
    many = prefixes(10_000)
    with patient(site, 1, answer_refresh=table_of(1, many)) as peer:
        peer.wait_established()
        wait_until(lambda: site.rest.session(1)["state"] == "established", "REST knows", LONG)
        updates = [
            wire.update(
                wire.attributes(as_path=(PEER_ASN, 4_200_000_000 + at), next_hop="169.254.10.2"),
                many[at : at + 5],
            )
            for at in range(0, len(many), 5)
        ]
        killed = 0
        for at in range(0, len(updates), 100):
            kill = at in (500, 1200)
            if kill:
                wait_until(lambda: len(site.pids("relay")) == 2, "both relays", LONG)
                for pid in site.pids("relay"):
                    os.kill(pid, signal.SIGSTOP)
            peer.send(b"".join(updates[at : at + 100]))
            if kill:
                # What is lost with a relay is what it has not read.
                wait_until(lambda: any(map(unread, site.pids("relay"))), "lines in a relay's pipe", LONG)
                for pid in site.pids("relay"):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        assert killed >= 2
        peer.send(END)
        site.until_routes(many)
        wait_until(lambda: site.rest.session(1)["prefixes"]["accepted"] == len(many), "all accepted", LONG)
        assert {route["prefix"] for route in site.rest.routes()} == set(many)
        assert (peer.log.established, peer.log.lost) == (1, 0), "the session never went down"
        refreshes = [m for m in peer.log.of(wire.ROUTE_REFRESH) if m.refresh == ("ipv4", 0)]
        assert refreshes, "the peer was asked for its routes again"
        wait_until(lambda: site.rest.session(1)["prefixes"]["stale"] == 0, "nothing stale is left", LONG)
