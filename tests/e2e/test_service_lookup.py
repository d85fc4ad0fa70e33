"""The daemon without BGP: static and custom routes, health checks, and what it finds at its start."""

from __future__ import annotations

import copy
import signal
from typing import Any

from tests.e2e.service import CONFIGURATION, LONG, Site, answered, tunnel_of
from tests.netns.namespaces import wait_until

STATIC: dict[str, Any] = copy.deepcopy(CONFIGURATION)
STATIC["vpn_connections"][0]["enable_bgp"] = False
STATIC["destination_routes"] = [
    {
        "name": name,
        "vpn_gateway": "gw1",
        "vpn_connection": "conn1",
        "destination": destination,
        "publish": True,
    }
    for name, destination in (("four", "20.0.0.0/8"), ("six", "2001:db8:20::/44"))
]


def single(**check: Any) -> dict[str, Any]:
    """One tunnel with a health check, and a custom route."""
    made = copy.deepcopy(STATIC)
    made["vpn_connections"][0]["tunnels"].pop()
    made["vpn_connections"][0]["health_check"] = {
        "source": "169.254.10.1",
        "destination": "169.254.10.2",
        "interval": 1,
        "retries": 1,
    } | check
    return made


def carried_by(site: Site, tunnel: str | None) -> bool:
    """True if pings of the host to both families take that tunnel (`t1` or `t2`), or none."""
    return [tunnel_of(site, address) for address in ("20.0.0.1", "2001:db8:20::1")] == [tunnel, tunnel]


def test_static_routes_without_bgp() -> None:
    """No speaker runs, and a switchover moves both families; what is left over a restart is swept."""
    with Site() as site:
        site.configure(STATIC)
        site.start()
        wait_until(lambda: carried_by(site, "t1"), "traffic on tunnel 1", LONG)
        view = site.rest.connection()
        assert [t["session_state"] for t in view["tunnels"]] == [None, None]
        assert view["carrying"] == "conn1-tunnel1"
        assert {r["source"] for r in site.rest.table()} == {"destination_based"}
        site.gateway.ip("link set t1 down")
        wait_until(lambda: carried_by(site, "t2"), "traffic on tunnel 2", LONG)
        site.gateway.ip("link set t1 up")
        wait_until(lambda: carried_by(site, "t1"), "traffic back on tunnel 1", LONG)
        assert site.rest.connection()["switchovers"] == 2
        site.stop(signal.SIGKILL)
        assert carried_by(site, "t1")
        without = copy.deepcopy(STATIC) | {"destination_routes": []}
        without["vpcs"][0]["route_table"] = 300
        site.configure(without)
        site.start()
        wait_until(
            lambda: site.nexthops() == {}, "nothing is left of the routes that are not configured", LONG
        )
        rules = site.gateway.run("ip", "rule") + site.gateway.run("ip", "-6", "rule")
        assert "lookup 201" not in rules
        assert " 32200:" not in f" {rules}"
        routes = site.gateway.run("ip", "route", "show", "table", "all", "proto", "201")
        assert routes.split() == ["throw", "10.0.0.0/16", "table", "300", "metric", "50"]


def test_a_health_check_revokes_and_returns() -> None:
    """The interface stays up all the while; the check goes over the tunnel although its routes are gone."""
    with Site() as site:
        site.configure(single())
        site.start()
        tunnel = "/v1/tunnels/conn1-tunnel1"
        wait_until(lambda: site.rest.get(tunnel)["health"] == "healthy", "healthy", LONG)
        assert carried_by(site, "t1")
        site.far.sysctl("net/ipv4/icmp_echo_ignore_all", 1)
        wait_until(lambda: site.rest.get(tunnel)["health"] == "unhealthy", "unhealthy", LONG)
        view = site.rest.get(tunnel)
        assert (view["state"], view["link_up"]) == ("down", True)
        assert view["state_reason"] == "the health check fails: no reply from 169.254.10.2 to request"
        assert carried_by(site, None)
        site.far.sysctl("net/ipv4/icmp_echo_ignore_all", 0)
        wait_until(lambda: carried_by(site, "t1"), "routes are back", LONG)
        kinds = [e["kind"] for e in site.rest.events("tunnel.healthy", "tunnel.unhealthy")]
        assert kinds == ["tunnel.healthy", "tunnel.unhealthy", "tunnel.healthy"]
        site.reload(single(source="169.254.10.9", on_failure="reserve_route"))
        wait_until(lambda: site.rest.get(tunnel)["health"] == "unhealthy", "a source that is not ours", LONG)
        reason = site.rest.get(tunnel)["health_reason"]
        assert reason.startswith("cannot send from 169.254.10.9 over t1 to 169.254.10.2: ")
        assert carried_by(site, "t1"), "the routes stay"


def test_custom_routes_are_made_again() -> None:
    with Site() as site:
        content = copy.deepcopy(STATIC) | {"destination_routes": []}
        content["vpc_routes"] = [
            {"name": "far", "vpc": "vpc1", "destination": "20.0.0.0/8", "next_hop": "169.254.20.2"},
            {"name": "far6", "vpc": "vpc1", "destination": "2001:db8:20::/44", "next_hop": "fd00:20::2"},
            {"name": "hole", "vpc": "vpc1", "destination": "20.9.0.0/16", "blackhole": True},
        ]
        site.configure(content)
        site.start()
        wait_until(lambda: carried_by(site, "t2"), "the custom routes' next hops", LONG)
        assert not answered(site, "20.9.0.1")
        for words in ("del 20.0.0.0/8", "del 20.9.0.0/16", "del 2001:db8:20::/44"):
            site.gateway.ip(f"{'-6' if '::' in words else '-4'} route {words} table 201 proto 201")
        wait_until(lambda: carried_by(site, "t2"), "again, after somebody deleted them", LONG)
        wait_until(lambda: "blackhole" in site.kernel_routes(40), "the blackhole too", LONG)
        site.gateway.ip("link set t2 down")
        wait_until(lambda: site.rest.events("fib.error"), "told that they cannot be", LONG)
        event = site.rest.events("fib.error")[0]
        assert event["subject"] in ("far", "far6")
        assert "is not on a connected network" in event["message"]
        assert carried_by(site, None)
        site.gateway.ip("link set t2 up")
        wait_until(lambda: carried_by(site, "t2"), "again, with the link", LONG)
        content["vpc_routes"] = []
        site.reload(content)
        assert site.kernel_routes(40) == site.kernel_routes(40, 6) == set()
