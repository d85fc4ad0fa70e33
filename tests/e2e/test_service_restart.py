"""The daemon killed under traffic: no packet is lost, its restart touches no route that is still right."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.e2e.service import (
    END,
    NetlinkMonitor,
    Pings,
    Site,
    prefixes,
    prefixes6,
    running,
    table6_of,
    table_of,
    tunnel_of,
)
from tests.fakes import bgp_wire as wire
from tests.netns.namespaces import wait_until

COUNT = 1000
FOREIGN = "203.0.113.0/24"


@pytest.fixture
def site() -> Iterator[Site]:
    """A running daemon, its peers to come."""
    with running() as made:
        yield made


def test_kill_and_restart_under_traffic(site: Site) -> None:
    announced = ["192.168.0.0/16", *prefixes(COUNT)]
    withdrawn = announced[-5:]
    v6 = prefixes6(COUNT)
    with site.peer(1) as one, site.peer(2) as two:
        for number, peer in ((1, one), (2, two)):
            table = table_of(number, announced) + table6_of(number, v6) + END
            # What a peer is asked for again it announces as it stands then: without the withdrawn ones.
            peer.config.answer_refresh = table_of(number, announced[:-5]) + table6_of(number, v6)
            peer.wait_established()
            peer.send(table)
        site.until_routes(announced, backups=True)
        site.until_routes(v6, backups=True, version=6)
        site.gateway.ip(f"route add {FOREIGN} via 169.254.20.2 table 201 metric 100")
        speakers = site.pids("launcher")
        nexthops = site.nexthops()

        with Pings(site) as pings:
            wait_until(lambda: pings.sent > 100, "traffic")
            monitor = NetlinkMonitor(site.gateway)
            site.stop(signal.SIGKILL)
            for peer in (one, two):
                peer.send(wire.update(withdrawn=withdrawn))
            wait_until(lambda: pings.sent > 300, "traffic without a daemon")
            assert not monitor.read(), "nobody touches the kernel's routes while the daemon is dead"
            site.start()
            left = set(announced) - set(withdrawn)
            site.until_routes(left, backups=True)
            sent = pings.sent
            wait_until(lambda: pings.sent > sent + 100, "traffic with the new daemon")

        assert pings.lost == 0
        seen = monitor.read()
        monitor.close()
        routes = [name for name, _ in seen if name.endswith("route")]
        # Primary and backup of each withdrawn prefix, and nothing else.
        assert routes == ["delroute"] * 2 * len(withdrawn)
        # Groups for a moment at which only one session had spoken may come and go.
        assert not {ident for name, ident in seen if name.endswith("nexthop")} & set(nexthops)
        assert site.nexthops() == nexthops
        assert FOREIGN in site.gateway.run("ip", "route", "show", "table", "201")

        assert site.pids("launcher") == speakers, "the speakers were adopted"
        assert (one.log.established, two.log.established) == (1, 1), "no session was reset"
        for number in (1, 2):
            session = site.rest.session(number)
            assert session["state"] == "established"
            assert session["prefixes"]["accepted"] == len(left) + COUNT
            assert session["prefixes"]["stale"] == 0
            assert session["end_of_rib"]
        assert site.rest.connection()["carrying"] == "conn1-tunnel1"
        assert site.rest.gateway()["routes_installed"] == len(left) + COUNT
        assert {route["prefix"] for route in site.rest.table(family="ipv4")} == left
        assert tunnel_of(site, "192.168.0.10") == "t1"
